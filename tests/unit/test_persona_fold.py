"""A persona is a fold: folded again it is what it was, whoever read the records and when."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.clients.embedding.static import StaticEmbedder
from app.errors import BackendUnavailable
from app.models import FacetChange
from tests.fakes import MemoryStore
from tests.nouns import a_feedback, a_statement
from tests.unit.test_persona import NOW, DownEmbedder, Reader, learn, pick, service_of, undo

EMBEDDER = StaticEmbedder()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def say_much(store: MemoryStore) -> None:
    for number, option in enumerate(["Python", "Go", "Go", "Go", "a shell", "Go"]):
        await pick(store, number, option, days=40 * number)
    for number in (1, 2):
        said = a_feedback(f"b{number}", user_id="ada", request_id="r5", rating=-1.0, created_at=NOW)
        await store.add_feedback(said)
    await undo(store, 10, "Go")
    await store.add_statements([a_statement("s1", user_id="ada"), a_statement("s2", user_id="ada", name="x")])
    await pick(store, 11, "Rust")


async def test_a_persona_that_somebody_changed_is_no_fold_and_is_mended(store: MemoryStore) -> None:
    service = service_of(store, EMBEDDER)
    await say_much(store)
    await learn(service)
    assert await service.is_folded("default", "ada")
    right = await store.load_persona("default", "ada")
    wrong = [replace(right.facets[0], value="COBOL"), replace(right.facets[1], id="forged")]
    assert await store.save_facets("default", "ada", wrong, since=right.seq, seq=right.seq)
    assert not await service.is_folded("default", "ada")
    await service.refold("default", "ada")
    assert await store.load_persona("default", "ada") == right
    assert await service.is_folded("default", "ada")


async def test_what_is_not_learned_yet_is_no_fault_and_stays_to_be_learned(store: MemoryStore) -> None:
    service = service_of(store, EMBEDDER)
    assert await service.is_folded("default", "ada")
    await pick(store, 1, "Python")
    await learn(service)
    before = await store.load_persona("default", "ada")
    await pick(store, 2, "Go")
    assert await service.is_folded("default", "ada")
    await service.refold("default", "ada")
    assert await store.load_persona("default", "ada") == before
    assert [lesson.record_id for lesson in await learn(service)] == ["r2"]


async def test_learning_late_is_learning_in_the_order_of_the_events(store: MemoryStore) -> None:
    at_once, late = MemoryStore(), MemoryStore()
    service = service_of(at_once, EMBEDDER)
    for number, option in enumerate(["Python", "Go", "Python", "Rust", "Go", "Go"]):
        for each in (at_once, late):
            await pick(each, number, option)
        await learn(service)
    await learn(service_of(late, EMBEDDER))
    assert await late.load_persona("default", "ada") == await at_once.load_persona("default", "ada")


async def test_what_a_model_read_is_what_the_fold_reads(store: MemoryStore) -> None:
    reader = Reader(FacetChange("language of apis", "Python api", confidence=0.7))
    service = service_of(store, EMBEDDER, reader)
    await pick(store, 1, "Python")
    await learn(service)
    once = await store.load_persona("default", "ada")
    assert once.facets[0].producer == "vllm"
    for reading in (service, service_of(store, EMBEDDER)):
        assert await reading.is_folded("default", "ada")
        await reading.refold("default", "ada")
        assert await store.load_persona("default", "ada") == once
    assert len(reader.seen) == 1, "to fold asks no model"


async def test_what_was_learned_by_words_alone_is_folded_by_words_alone(store: MemoryStore) -> None:
    embedder = DownEmbedder()
    service = service_of(store, embedder)
    await pick(store, 1, "Python", input_text="build an api")
    await pick(store, 2, "Python", input_text="make a web service")
    await learn(service)
    by_words = await store.load_persona("default", "ada")
    embedder.away = False
    assert await service.is_folded("default", "ada")
    await service.refold("default", "ada")
    assert await store.load_persona("default", "ada") == by_words


async def test_a_fold_without_vectors_says_so_and_changes_nothing(store: MemoryStore) -> None:
    embedder = DownEmbedder()
    embedder.away = False
    service = service_of(store, embedder)
    await say_much(store)
    await learn(service)
    before = await store.load_persona("default", "ada")
    embedder.away = True
    with pytest.raises(BackendUnavailable):
        await service.refold("default", "ada")
    assert await store.load_persona("default", "ada") == before
