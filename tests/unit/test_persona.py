"""Personas: what one choice teaches, and what it takes to unlearn it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.clients.embedding.base import Vectors
from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import Call, Completion, Lane, SLMClient, UpdateFacets
from app.errors import BackendUnavailable, StorageError
from app.models import Choice, Facet, FacetChange
from app.services.evidence import of_choice
from app.services.facets import MOST_HELD, Evidence
from app.services.persona import PersonaService
from tests.fakes import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LANGUAGES = ("Python", "Go", "Rust")


class DownEmbedder(StaticEmbedder):
    async def embed(self, texts: Sequence[str]) -> Vectors:
        raise BackendUnavailable


class Reader:
    """A client that reads facets as told."""

    name = "vllm"

    def __init__(self, *changes: FacetChange, error: Exception | None = None, degraded: bool = False) -> None:
        self._changes, self._error, self._degraded = list(changes), error, degraded
        self.seen: list[tuple[Any, Call]] = []

    async def run(self, task: Any, call: Call) -> Completion[Any]:
        self.seen.append((task, call))
        if self._error is not None:
            raise self._error
        return Completion(self._changes, producer="vllm", model="m", degraded=self._degraded)


def as_client(reader: Reader) -> SLMClient:
    return reader  # type: ignore[return-value]  # it answers one task of the seam


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture
def service(store: MemoryStore, embedder: StaticEmbedder) -> PersonaService:
    return PersonaService(store, embedder)


def picked(number: int, selected: str, **more: Any) -> Evidence:
    evidence = Evidence(
        record_id=f"r{number}",
        tenant="default",
        user_id="ada",
        input_text="build api",
        name="programming language",
        selected=selected,
        options=LANGUAGES,
        kind="pick",
        at=NOW + timedelta(minutes=number),
    )
    return replace(evidence, **more)


async def held(service: PersonaService) -> list[tuple[str, float]]:
    profile = await service.profile("default", "ada")
    return [(facet.value, round(facet.confidence, 3)) for facet in profile.facets]


async def test_one_pick_teaches_what_was_chosen_and_what_was_not(service: PersonaService) -> None:
    ((before, after),) = (await service.learn(picked(1, "Python"))).pairs
    assert before is None
    assert (after.value, after.rejected) == ("Python", ("Go", "Rust"))
    assert (after.evidence, after.counter_evidence, after.valid_to) == (("r1",), (), None)
    assert (after.context, after.producer) == ("build api", "heuristic")
    assert await held(service) == [("Python", 0.6)]


async def test_picking_it_again_makes_it_surer(service: PersonaService) -> None:
    await service.learn(picked(1, "Python"))
    ((before, after),) = (await service.learn(picked(2, "python!"))).pairs
    assert before is not None
    assert after.id == before.id
    assert after.evidence == ("r1", "r2")
    assert await held(service) == [("Python", 0.76)]


async def test_learning_twice_from_a_record_is_learning_once(
    service: PersonaService, store: MemoryStore
) -> None:
    records = [picked(1, "Python"), picked(2, "Go"), picked(3, "Python")]
    for record in records:
        await service.learn(record)
    once = await service.history("default", "ada")
    assert [(await service.learn(record)).pairs for record in records] == [(), (), ()]
    assert await service.history("default", "ada") == once


async def test_folding_the_same_records_again_gives_the_same_facets(embedder: StaticEmbedder) -> None:
    records = [picked(n, value) for n, value in enumerate(["Python", "Go", "Go", "Go", "Rust", "Go"])]
    folds = []
    for _ in range(2):
        fresh = PersonaService(MemoryStore(), embedder)
        for record in records:
            await fresh.learn(record)
        folds.append(await fresh.history("default", "ada"))
    assert folds[0] == folds[1]


async def test_three_contradictions_flip_a_facet_and_its_history_stays(service: PersonaService) -> None:
    await service.learn(picked(0, "Python"))
    seen = []
    for number in (1, 2, 3):
        await service.learn(picked(number, "Go"))
        seen.append(await held(service))
    assert seen == [[("Python", 0.39)], [("Python", 0.254)], [("Go", 0.6)]]
    old, new = await service.history("default", "ada")
    assert old.counter_evidence == ("r1", "r2", "r3")
    assert old.valid_to == new.valid_from == NOW + timedelta(minutes=3)


async def test_a_facet_often_confirmed_flips_at_the_third_in_a_row_and_not_by_the_way(
    service: PersonaService,
) -> None:
    for number in range(20):
        await service.learn(picked(number, "Go" if number in {5, 10, 15} else "Python"))
    assert [value for value, _ in await held(service)] == ["Python"]
    for number in (20, 21, 22):
        await service.learn(picked(number, "Go"))
    assert [value for value, _ in await held(service)] == ["Go"]


async def test_the_same_detail_of_another_request_is_another_facet(service: PersonaService) -> None:
    await service.learn(picked(1, "Python"))
    await service.learn(picked(2, "Rust", input_text="write a game engine for consoles"))
    assert sorted(await held(service)) == [("Python", 0.6), ("Rust", 0.6)]


async def test_a_choice_made_elsewhere_contradicts_only_what_was_on_offer(service: PersonaService) -> None:
    question = "How do I learn a language?"
    for number, (options, selected) in enumerate(
        [
            (("a class", "an app"), "a class"),
            (("a tutor", "a book"), "a tutor"),
            (("a class", "a film"), "a film"),
        ]
    ):
        await service.learn(
            of_choice(Choice(f"c{number}", "default", "ada", question, options, selected, NOW))
        )
    assert sorted(await held(service)) == [("a class", 0.39), ("a tutor", 0.6)]


async def test_an_undo_speaks_against_what_was_taken_back(service: PersonaService) -> None:
    await service.learn(picked(1, "Python"))
    for number in (2, 3, 4):
        await service.learn(picked(number, "Python", kind="undo", options=()))
    assert await held(service) == []
    (closed,) = await service.history("default", "ada")
    assert closed.counter_evidence == ("r2", "r3", "r4")


async def test_an_empty_answer_teaches_nothing(service: PersonaService) -> None:
    assert (await service.learn(picked(1, "  "))).pairs == ()


async def test_the_least_sure_facet_makes_room_when_a_persona_is_full(
    service: PersonaService, store: MemoryStore
) -> None:
    crowd = [
        Facet(f"f{n}", f"name {n}", "v", (), 0.9 if n else 0.2, (f"e{n}",), (), NOW, None, "heuristic")
        for n in range(MOST_HELD)
    ]
    await store.save_facets("default", "ada", crowd)
    pairs = (await service.learn(picked(1, "Python"))).pairs
    assert [(after.id, after.valid_to is None) for _, after in pairs][1:] == [("f0", False)]
    profile = await service.profile("default", "ada")
    assert len(profile.facets) == MOST_HELD
    assert "Python" in {facet.value for facet in profile.facets}


async def test_learning_at_once_for_one_user_loses_nothing(service: PersonaService) -> None:
    await asyncio.gather(*(service.learn(picked(number, "Python")) for number in range(8)))
    ((facet,),) = [(await service.profile("default", "ada")).facets]
    assert sorted(facet.evidence) == sorted(f"r{number}" for number in range(8))


async def test_a_store_that_fails_leaves_nothing_half_learned(
    service: PersonaService, store: MemoryStore
) -> None:
    store.broken = True
    with pytest.raises(StorageError):
        await service.learn(picked(1, "Python"))
    store.broken = False
    assert await held(service) == []


async def test_a_model_reads_the_evidence_where_there_is_one(
    store: MemoryStore, embedder: StaticEmbedder
) -> None:
    reader = Reader(FacetChange("language of apis", "Python api", confidence=0.7))
    service = PersonaService(store, embedder, as_client(reader))
    ((_, facet),) = (await service.learn(picked(1, "Python"))).pairs
    assert (facet.name, facet.value, facet.confidence) == ("language of apis", "Python api", 0.7)
    assert (facet.producer, facet.rejected) == ("vllm", ("Go", "Rust"))
    ((task, call),) = reader.seen
    assert task == UpdateFacets("build api", "Python", LANGUAGES)
    assert (call.tenant, call.request_id, call.lane) == ("default", "r1", Lane.BACKGROUND)


@pytest.mark.parametrize(
    "reader",
    [
        Reader(error=BackendUnavailable()),
        Reader(),
        Reader(FacetChange("language", "Python"), degraded=True),
        Reader(FacetChange("hobby", "likes pirates")),
        Reader(FacetChange("language", "Go")),
        Reader(FacetChange(" ", "Python")),
    ],
    ids=["error", "empty", "a stand-in's", "invented", "rejected by the user", "nameless"],
)
async def test_the_heuristic_reads_where_the_model_cannot(
    store: MemoryStore, embedder: StaticEmbedder, reader: Reader
) -> None:
    service = PersonaService(store, embedder, as_client(reader))
    ((_, facet),) = (await service.learn(picked(1, "Python"))).pairs
    assert (facet.name, facet.value, facet.producer) == ("programming language", "Python", "heuristic")


async def test_what_a_user_states_stands_at_once_and_null_ends_it(service: PersonaService) -> None:
    await service.learn(picked(1, "Python"))
    await service.state("default", "ada", "Programming languages", "Haskell")
    (facet,) = (await service.profile("default", "ada")).facets
    assert (facet.value, facet.confidence, facet.producer) == ("Haskell", 1.0, "user")
    await service.state("default", "ada", "programming language", None)
    assert await held(service) == []
    assert len(await service.history("default", "ada")) == 2


async def test_an_answer_holds_in_another_thread_for_the_same_request(service: PersonaService) -> None:
    await service.learn(picked(1, "Python"))
    profile = await service.profile("default", "ada")
    facet = (await service.answered(profile, ["which programming language"], "Build an API!"))[0]
    assert facet is not None
    assert facet.value == "Python"
    assert await service.answered(profile, ["budget"], "build api") == [None]
    assert await service.answered(profile, ["programming language"], "plan my holiday") == [None]


async def test_what_was_confirmed_twice_holds_for_other_requests(service: PersonaService) -> None:
    for number in (1, 2):
        await service.learn(picked(number, "Python"))
    profile = await service.profile("default", "ada")
    assert await service.answered(profile, ["programming language"], "scrape a website") != [None]


async def test_what_is_in_doubt_answers_nothing(service: PersonaService) -> None:
    await service.learn(picked(1, "Python"))
    await service.learn(picked(2, "Go"))
    profile = await service.profile("default", "ada")
    assert await service.answered(profile, ["programming language"], "build api") == [None]


async def test_words_alone_tell_an_answered_detail_where_the_embedder_fails(store: MemoryStore) -> None:
    service = PersonaService(store, DownEmbedder())
    await service.learn(picked(1, "Python"))
    profile = await service.profile("default", "ada")
    assert await service.answered(profile, ["programming language"], "build api") != [None]
    ranked, producer = await service.rank("default", "ada", "which one?", ["Rust", "Python"])
    assert [text.index for text in ranked] == [1, 0]
    assert producer == "words"


async def test_a_lesson_says_who_read_the_record(store: MemoryStore, embedder: StaticEmbedder) -> None:
    read = await PersonaService(store, embedder).learn(picked(1, "Python"))
    assert read.origin["backend"] == "heuristic"
    reader = Reader(FacetChange("programming language", "Go"))
    lesson = await PersonaService(store, embedder, as_client(reader)).learn(picked(2, "Go"))
    assert (lesson.origin["backend"], lesson.origin["model"]) == ("vllm", "m")
