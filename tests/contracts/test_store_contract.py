"""What every store promises: the fake and the databases run the same tests."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from app.errors import Conflict, InvalidInput
from app.models import Memory
from app.storage.base import Store
from tests.nouns import (
    a_choice,
    a_facet,
    a_feedback,
    a_memory,
    a_selection,
    an_adapter,
    an_advance,
    an_edit,
    an_exposure,
    an_interaction,
    at,
    hold,
    unit_vectors,
)

NASTY = "Robert'); DROP TABLE users;-- é漢🦄 \u0085 \\ \" % _"


async def put(store: Store, *memories: Memory, user: str = "ann", embedder: str = "static") -> list[str]:
    return await store.put_memories("default", user, memories, unit_vectors(len(memories)), embedder)


class TestMemories:
    async def test_what_is_put_is_loaded_oldest_first_with_its_vector(self, store: Store) -> None:
        full = a_memory(
            "m1",
            NASTY,
            external_id="x",
            thread="t",
            position=3,
            created_at=at(1),
            metadata={"a": [1, None, {"b": 0.1}]},
        )
        plain = a_memory("m2", "")
        assert await put(store, full, plain) == ["m1", "m2"]
        loaded = await store.load_memories("default", "ann")
        assert loaded.memories == (plain, full)
        assert loaded.embedder == "static"
        assert loaded.vectors.dtype == np.float32
        np.testing.assert_array_equal(loaded.vectors, unit_vectors(2)[::-1])

    async def test_a_user_without_memories(self, store: Store) -> None:
        loaded = await store.load_memories("default", "nobody")
        assert (loaded.version, loaded.memories, loaded.embedder) == (0, (), "")
        assert loaded.vectors.shape[0] == 0
        assert await put(store) == []
        assert (await store.profile("default", "ann")).memory_version == 0

    async def test_a_known_external_id_keeps_its_id_and_is_replaced(self, store: Store) -> None:
        await put(store, a_memory("m1", "old", external_id="x"))
        assert await put(store, a_memory("m2", "new", external_id="x")) == ["m1"]
        (held,) = (await store.load_memories("default", "ann")).memories
        assert held == a_memory("m1", "new", external_id="x")

    async def test_the_same_external_id_twice_in_one_call_is_one_memory(self, store: Store) -> None:
        twice = [a_memory("m1", "old", external_id="x"), a_memory("m2", "new", external_id="x")]
        assert await put(store, *twice) == ["m1", "m1"]
        assert [m.text for m in (await store.load_memories("default", "ann")).memories] == ["new"]

    async def test_external_ids_belong_to_one_user(self, store: Store) -> None:
        await put(store, a_memory("m1", external_id="x"))
        assert await put(store, a_memory("m2", external_id="x"), user="bob") == ["m2"]
        assert await store.put_memories(
            "other", "ann", [a_memory("m1", external_id="x")], unit_vectors(1), "static"
        ) == ["m1"]

    async def test_put_is_all_or_nothing(self, store: Store) -> None:
        await put(store, a_memory("m1"), user="bob")
        with pytest.raises(Conflict):
            await put(store, a_memory("m0"), a_memory("m1", "ann's now?"))
        assert (await store.load_memories("default", "ann")).memories == ()
        assert (await store.profile("default", "ann")).memory_version == 0
        (bobs,) = (await store.load_memories("default", "bob")).memories
        assert bobs.text == "likes tea"

    async def test_every_write_makes_the_version_grow(self, store: Store) -> None:
        versions = [0]
        await put(store, a_memory("m1"))
        versions.append((await store.load_memories("default", "ann")).version)
        await put(store, a_memory("m1", "changed"))
        versions.append((await store.load_memories("default", "ann")).version)
        assert await store.delete_memory("default", "m1")
        versions.append((await store.load_memories("default", "ann")).version)
        assert versions == sorted(set(versions))
        assert (await store.profile("default", "ann")).memory_version == versions[-1]
        assert (await store.profile("default", "bob")).memory_version == 0

    async def test_a_user_who_comes_back_after_erasure_has_a_new_version(self, store: Store) -> None:
        await put(store, a_memory("m1"))
        before = (await store.load_memories("default", "ann")).version
        await store.erase_user("default", "ann")
        assert (await store.profile("default", "ann")).memory_version == 0
        await put(store, a_memory("m2"))
        assert (await store.load_memories("default", "ann")).version > before

    async def test_vectors_of_two_embedders_are_not_offered(self, store: Store) -> None:
        await put(store, a_memory("m1"))
        await put(store, a_memory("m2"), embedder="other")
        mixed = await store.load_memories("default", "ann")
        assert (mixed.embedder, mixed.vectors.shape, len(mixed.memories)) == ("", (2, 0), 2)
        await put(store, *mixed.memories, embedder="other")
        mended = await store.load_memories("default", "ann")
        assert (mended.embedder, mended.vectors.shape) == ("other", (2, 4))

    async def test_delete_knows_its_tenant(self, store: Store) -> None:
        await put(store, a_memory("m1"))
        assert not await store.delete_memory("other", "m1")
        assert await store.delete_memory("default", "m1")
        assert not await store.delete_memory("default", "m1")

    async def test_pages_together_are_the_whole_list(self, store: Store) -> None:
        memories = [a_memory(f"m{n}", created_at=at(n // 3)) for n in range(10)]
        await put(store, *reversed(memories))
        paged: list[Memory] = []
        cursor: str | None = None
        for _ in range(4):
            page, cursor = await store.list_memories("default", "ann", 3, cursor)
            paged += page
        assert paged == memories
        assert cursor is None

    @pytest.mark.parametrize("cursor", ["", "x", "é", "bm9wZQ", "WzEsMl0", "W1tdLCJhIl0", "a" * 9999])
    async def test_a_strange_cursor_is_invalid_input(self, store: Store, cursor: str) -> None:
        with pytest.raises(InvalidInput):
            await store.list_memories("default", "ann", 3, cursor)
        with pytest.raises(InvalidInput):
            await store.list_interactions("default", None, None, 3, cursor)

    async def test_ten_thousand_in_one_call(self, store: Store) -> None:
        many = [a_memory(f"m{n:05}", external_id=f"x{n}") for n in range(10_000)]
        assert len(await put(store, *many)) == 10_000
        again = [a_memory(f"n{n:05}", "new", external_id=f"x{n}") for n in range(10_000)]
        assert await put(store, *again) == [memory.id for memory in many]
        loaded = await store.load_memories("default", "ann")
        assert loaded.vectors.shape == (10_000, 4)
        assert {memory.text for memory in loaded.memories} == {"new"}


class TestPersonas:
    async def test_the_profile_holds_what_holds_now(self, store: Store) -> None:
        held = a_facet("f1", evidence=("r1", "r2"), counter_evidence=("r3",), context=NASTY)
        closed = a_facet("f0", valid_from=at(-9), valid_to=at(-1))
        await hold(store, [held, closed])
        await hold(store, [a_facet("f1", value="Go")], "bob")
        await hold(store, [a_facet("f2", value="C")], tenant="other")
        profile = await store.profile("default", "ann")
        assert (profile.facets, profile.memory_version) == ((held,), 0)
        assert (await store.load_persona("default", "ann")).facets == (
            closed,
            held,
        )

    async def test_the_same_id_replaces(self, store: Store) -> None:
        await hold(store, [a_facet()])
        closed, new = a_facet(valid_to=at(1)), a_facet("f2", value="Go", valid_from=at(1))
        await hold(store, [closed, new])
        assert (await store.profile("default", "ann")).facets == (new,)
        assert (await store.load_persona("default", "ann")).facets == (
            closed,
            new,
        )

    async def test_a_stranger_has_an_empty_profile(self, store: Store) -> None:
        await hold(store, [])
        assert (await store.profile("default", "ann")).facets == ()
        assert (await store.load_persona("default", "ann")).facets == ()

    async def test_saving_facets_leaves_the_memory_version(self, store: Store) -> None:
        await put(store, a_memory())
        before = (await store.profile("default", "ann")).memory_version
        await hold(store, [a_facet()])
        assert (await store.profile("default", "ann")).memory_version == before


class TestUsers:
    TABLES = (
        "memories",
        "facets",
        "selections",
        "advances",
        "interactions",
        "choices",
        "feedback",
        "statements",
        "playbook_edits",
        "exposures",
        "adapter_users",
        "events",
        "users",
    )
    MORE: ClassVar = {"facets": 2, "events": 5}

    async def fill(self, store: Store, user: str, suffix: str = "") -> None:
        await put(store, a_memory(f"m{suffix}", metadata={"a": 1}), user=user)
        await hold(store, [a_facet(), a_facet("f2", valid_to=at(1))], user)
        await store.add_interaction(an_interaction(f"r{suffix}", user_id=user))
        await store.add_selection(a_selection(f"r{suffix}", user_id=user))
        await store.open_advance(an_advance(f"t{suffix}", user_id=user))
        await store.add_choice(a_choice(f"c{suffix}", user_id=user))
        await store.add_feedback(a_feedback(f"b{suffix}", user_id=user))
        await store.add_playbook_edit(an_edit(f"p{suffix}", user_id=user))
        await store.add_exposure(an_exposure(f"r{suffix}", user_id=user))
        await store.add_adapter(an_adapter(f"hypotheses-{suffix}"), [user])

    async def test_export_has_every_row_without_vectors(self, store: Store) -> None:
        await self.fill(store, "ann")
        exported = await store.export_user("default", "ann")
        assert {name: len(rows) for name, rows in exported.items()} == dict.fromkeys(
            self.TABLES, 1
        ) | self.MORE
        (memory,) = exported["memories"]
        version = exported["users"][0].pop("memory_version")
        assert version == (await store.profile("default", "ann")).memory_version
        assert memory == {
            "tenant": "default", "user_id": "ann", "id": "m", "text": "likes tea", "external_id": None,
            "thread": None, "position": None, "kind": "note", "importance": 0.5,
            "created_at": "2026-11-21T12:00:00.123456+00:00", "metadata": {"a": 1}, "embedder": "static",
        }  # fmt: skip
        assert exported["facets"][1]["valid_to"] == at(1).isoformat()
        assert exported["selections"][0] == {
            "tenant": "default", "request_id": "r", "user_id": "ann", "hypothesis_id": "h1",
            "option": "Python", "free_text": None, "created_at": at(5).isoformat(), "outcome": None,
        }  # fmt: skip
        assert exported["interactions"][0]["answer"] == an_interaction("r").answer
        assert exported["choices"][0]["options"] == ["with garden", "in town"]
        assert exported["feedback"][0]["rating"] == 1.0

    async def test_erasure_reaches_every_table_and_nobody_else(self, store: Store) -> None:
        await self.fill(store, "ann", "1")
        await self.fill(store, "bob", "2")
        bob = await store.export_user("default", "bob")
        erased = dict.fromkeys((*self.TABLES, "adapters_tainted"), 1) | self.MORE
        assert await store.erase_user("default", "ann") == erased
        assert await store.export_user("default", "ann") == {table: [] for table in self.TABLES}
        assert await store.export_user("default", "bob") == bob
        assert await store.list_users("default") == [("default", "bob")]

    async def test_erasing_a_stranger_gives_an_empty_receipt(self, store: Store) -> None:
        await self.fill(store, "ann")
        assert await store.erase_user("other", "ann") == {}
        assert await store.erase_user("default", "ann'--") == {}
        assert len((await store.export_user("default", "ann"))["memories"]) == 1

    async def test_everyone_with_a_row_is_listed(self, store: Store) -> None:
        await store.add_choice(a_choice(user_id="cho"))
        await store.add_feedback(a_feedback(user_id="fay", request_id=None))
        await store.add_interaction(an_interaction(tenant="other"))
        await put(store, a_memory())
        assert await store.list_users("default") == [
            ("default", "ann"),
            ("default", "cho"),
            ("default", "fay"),
        ]
        assert len(await store.list_users(None)) == 4

    async def test_ping(self, store: Store) -> None:
        await store.ping()
