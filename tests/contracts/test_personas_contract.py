"""What every store promises of personas: they go from event to event, by one writer, all or nothing."""

from __future__ import annotations

import asyncio

from app.models import FacetChange, Reading
from app.storage.base import Persona, Store
from tests.nouns import a_choice, a_facet, a_statement, an_edit, at, hold


async def events(store: Store, *statements: str, user: str = "ann", tenant: str = "default") -> list[int]:
    """So many events of a user; their numbers."""
    said = [a_statement(name, user_id=user, tenant=tenant) for name in statements]
    await store.add_statements(said)
    return [event.seq for event in await store.events_after(tenant, 0, 100, user)]


async def test_statements_are_events_of_their_user_all_or_none(store: Store) -> None:
    said = [a_statement("s1"), a_statement("s2", value=None)]
    await store.add_statements(said)
    await store.add_statements([a_statement("s3", user_id="bob")])
    found = await store.events_after("default", 0, 10, "ann")
    assert [(event.kind, event.record, event.at) for event in found] == [
        ("statement", one, one.created_at) for one in said
    ]
    assert len(await store.events_after("default", 0, 10)) == 3
    assert await store.events_after("default", found[0].seq, 10, "ann") == found[1:]
    assert await store.list_users("default") == [("default", "ann"), ("default", "bob")]


async def test_a_persona_goes_from_event_to_event(store: Store) -> None:
    assert await store.load_persona("default", "ann") == Persona((), 0)
    first, second = await events(store, "s1", "s2")
    new = a_facet("f2", value="Go", valid_from=at(1))
    assert await store.save_facets("default", "ann", [a_facet()], since=0, seq=first)
    assert await store.save_facets("default", "ann", [new], since=first, seq=second)
    assert await store.load_persona("default", "ann") == Persona((a_facet(), new), second)


async def test_who_comes_second_changes_nothing(store: Store) -> None:
    first, second = await events(store, "s1", "s2")
    assert await store.save_facets("default", "ann", [a_facet()], since=0, seq=first)
    for since, seq in ((0, first), (0, second), (second, second)):
        assert not await store.save_facets("default", "ann", [a_facet("f9")], since=since, seq=seq, anew=True)
    assert await store.load_persona("default", "ann") == Persona((a_facet(),), first)


async def test_of_many_at_once_one_saves(store: Store) -> None:
    (seq,) = await events(store, "s1")
    saved = await asyncio.gather(
        *(store.save_facets("default", "ann", [a_facet(f"f{n}")], since=0, seq=seq) for n in range(8))
    )
    assert sorted(saved) == [*[False] * 7, True]
    assert len((await store.load_persona("default", "ann")).facets) == 1


async def test_nothing_is_saved_for_an_event_that_is_gone_or_another_s(store: Store) -> None:
    (seq,) = await events(store, "s1")
    (other,) = await events(store, "s2", user="bob")
    await store.erase_user("default", "ann")
    for event in (seq, other):
        assert not await store.save_facets("default", "ann", [a_facet()], since=0, seq=event)
    assert await store.load_persona("default", "ann") == Persona((), 0)
    assert await store.list_users("default") == [("default", "bob")]


async def test_anew_replaces_all_of_one_user_s_facets(store: Store) -> None:
    await hold(store, [a_facet(), a_facet("f2")])
    await hold(store, [a_facet("f3")], "bob")
    seq = (await store.load_persona("default", "ann")).seq
    assert await store.save_facets("default", "ann", [a_facet("f4")], since=seq, seq=seq, anew=True)
    assert await store.load_persona("default", "ann") == Persona((a_facet("f4"),), seq)
    assert [facet.id for facet in (await store.load_persona("default", "bob")).facets] == ["f3"]


async def test_what_was_read_is_kept_with_its_event(store: Store) -> None:
    first, second = await events(store, "s1", "s2")
    reading = Reading("vllm", (FacetChange("language", "Go", ("Rust", "é"), 0.1 + 0.2),), by_words=True)
    assert await store.save_facets("default", "ann", [], since=0, seq=first, reading=reading)
    assert await store.save_facets("default", "ann", [], since=first, seq=second)
    assert [event.reading for event in await store.events_after("default", 0, 10)] == [reading, None]


async def test_everyone_of_whom_something_is_not_learned_is_behind(store: Store) -> None:
    assert await store.personas_behind() == []
    _, last = await events(store, "s1", "s2")
    await store.add_choice(a_choice(tenant="other"))
    await store.add_playbook_edit(an_edit(user_id=""))
    assert await store.personas_behind() == [("default", "ann"), ("other", "ann")]
    assert await store.save_facets("default", "ann", [], since=0, seq=last)
    assert await store.personas_behind() == [("other", "ann")]
    await store.add_choice(a_choice())
    assert await store.personas_behind() == [("default", "ann"), ("other", "ann")]
