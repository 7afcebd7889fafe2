"""Personas: what one choice teaches, and what it takes to unlearn it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.clients.embedding.base import Vectors
from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import Call, Completion, Lane, SLMClient, UpdateFacets
from app.errors import BackendUnavailable, StorageError
from app.models import Facet, FacetChange
from app.services.facets import MOST_HELD
from app.services.persona import PersonaService
from app.services.persona_fold import Lesson
from tests.fakes import MemoryStore
from tests.nouns import a_choice, a_feedback, a_selection, a_statement, an_advance, an_interaction, hold

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LANGUAGES = ("Python", "Go", "Rust")


class DownEmbedder(StaticEmbedder):
    """A server that comes back when told."""

    away = True

    async def embed(self, texts: Sequence[str]) -> Vectors:
        if self.away:
            raise BackendUnavailable
        return await super().embed(texts)


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


def service_of(
    store: MemoryStore, embedder: StaticEmbedder, reader: Reader | None = None, days: float = 0
) -> PersonaService:
    """At so many days after NOW."""
    client = None if reader is None else as_client(reader)
    return PersonaService(store, embedder, client, clock=lambda: NOW + timedelta(days=days))


@pytest.fixture
def service(store: MemoryStore, embedder: StaticEmbedder) -> PersonaService:
    return service_of(store, embedder)


def asked(number: int, **fields: Any) -> Any:
    hypothesis = {"id": "h1", "detail": "programming language", "options": list(LANGUAGES)}
    given: dict[str, Any] = {"user_id": "ada", "answer": {"hypotheses": [hypothesis]}} | fields
    return an_interaction(f"r{number}", **given)


async def pick(
    store: MemoryStore, number: int, selected: str, *, days: float = 0, input_text: str = "build api"
) -> None:
    """Ada answers request number so and so: by a pick, or by typing what was not offered."""
    offered = selected in LANGUAGES
    said = {"option": selected if offered else None, "free_text": None if offered else selected}
    at = NOW + timedelta(days=days, minutes=number)
    await store.add_interaction(asked(number, input_text=input_text, created_at=at))
    await store.add_selection(a_selection(f"r{number}", user_id="ada", created_at=at, **said))


async def undo(store: MemoryStore, number: int, option: str) -> None:
    """Ada takes back what was assumed for request number so and so."""
    await store.add_interaction(asked(number))
    await store.open_advance(advanced(number, option))
    await store.undo_advance("default", f"t{number}", NOW + timedelta(minutes=number))


def advanced(number: int, option: str) -> Any:
    later = NOW + timedelta(days=1)
    return an_advance(f"t{number}", user_id="ada", request_id=f"r{number}", option=option, expires_at=later)


async def learn(service: PersonaService) -> list[Lesson]:
    return await service.learn("default", "ada")


async def learn_picks(service: PersonaService, store: MemoryStore, *selected: str) -> list[Lesson]:
    """What these picks, requests 1 and on, teach."""
    for number, option in enumerate(selected, 1):
        await pick(store, number, option)
    return await learn(service)


async def held(service: PersonaService) -> list[tuple[str, float]]:
    profile = await service.profile("default", "ada")
    return [(facet.value, round(facet.confidence, 3)) for facet in profile.facets]


async def test_one_pick_teaches_what_was_chosen_and_what_was_not(
    service: PersonaService, store: MemoryStore
) -> None:
    (lesson,) = await learn_picks(service, store, "Python")
    ((before, after),) = lesson.pairs
    assert before is None
    assert (after.value, after.rejected) == ("Python", ("Go", "Rust"))
    assert (after.evidence, after.counter_evidence, after.valid_to) == (("r1",), (), None)
    assert (after.context, after.producer) == ("build api", "heuristic")
    assert after.last_seen == after.valid_from == NOW + timedelta(minutes=1)
    assert await held(service) == [("Python", 0.6)]


async def test_picking_it_again_makes_it_surer(service: PersonaService, store: MemoryStore) -> None:
    first, second = await learn_picks(service, store, "Python", "python!")
    ((_, opened),), ((before, after),) = first.pairs, second.pairs
    assert before == opened
    assert after.id == opened.id
    assert (after.evidence, after.last_seen) == (("r1", "r2"), NOW + timedelta(minutes=2))
    assert await held(service) == [("Python", 0.76)]


async def test_what_is_learned_is_learned_once(service: PersonaService, store: MemoryStore) -> None:
    await learn_picks(service, store, "Python", "Go", "Python")
    once = await service.history("default", "ada")
    assert await learn(service) == []
    assert await service.history("default", "ada") == once


async def test_three_contradictions_flip_a_facet_and_its_history_stays(
    service: PersonaService, store: MemoryStore
) -> None:
    await pick(store, 0, "Python")
    seen = []
    for number in (1, 2, 3):
        await pick(store, number, "Go")
        await learn(service)
        seen.append(await held(service))
    assert seen == [[("Python", 0.39)], [("Python", 0.254)], [("Go", 0.6)]]
    old, new = await service.history("default", "ada")
    assert old.counter_evidence == ("r1", "r2", "r3")
    assert old.valid_to == new.valid_from == NOW + timedelta(minutes=3)


async def test_a_facet_often_confirmed_flips_at_the_third_in_a_row_and_not_by_the_way(
    service: PersonaService, store: MemoryStore
) -> None:
    picks = ["Go" if number in {5, 10, 15} else "Python" for number in range(20)]
    await learn_picks(service, store, *picks)
    assert [value for value, _ in await held(service)] == ["Python"]
    for number in (30, 31, 32):
        await pick(store, number, "Go")
    await learn(service)
    assert [value for value, _ in await held(service)] == ["Go"]


async def test_the_same_detail_of_another_request_is_another_facet(
    service: PersonaService, store: MemoryStore
) -> None:
    await pick(store, 1, "Python")
    await pick(store, 2, "Rust", input_text="write a game engine for consoles")
    await learn(service)
    assert sorted(await held(service)) == [("Python", 0.6), ("Rust", 0.6)]


async def test_a_choice_made_elsewhere_contradicts_only_what_was_on_offer(
    service: PersonaService, store: MemoryStore
) -> None:
    offers = [
        (("a class", "an app"), "a class"),
        (("a tutor", "a book"), "a tutor"),
        (("a class", "a film"), "a film"),
    ]
    for number, (options, selected) in enumerate(offers):
        choice = {"input_text": "How do I learn a language?", "options": options, "selected": selected}
        await store.add_choice(a_choice(f"c{number}", user_id="ada", created_at=NOW, **choice))
    await learn(service)
    assert sorted(await held(service)) == [("a class", 0.39), ("a tutor", 0.6)]


async def test_an_undo_speaks_against_what_was_taken_back(
    service: PersonaService, store: MemoryStore
) -> None:
    await pick(store, 1, "Python")
    for number in (2, 3, 4):
        await undo(store, number, "Python")
    await learn(service)
    assert await held(service) == []
    (closed,) = await service.history("default", "ada")
    assert closed.counter_evidence == ("t2", "t3", "t4")


async def test_another_answer_and_the_undo_that_it_is_speak_once(
    service: PersonaService, store: MemoryStore
) -> None:
    await pick(store, 1, "Python")
    await pick(store, 2, "Go")
    await store.open_advance(advanced(2, "Python"))
    await store.undo_advance("default", "t2", NOW + timedelta(minutes=2))
    await learn(service)
    assert await held(service) == [("Python", 0.39)]


async def test_an_empty_answer_teaches_nothing(service: PersonaService, store: MemoryStore) -> None:
    (lesson,) = await learn_picks(service, store, "  ")
    assert lesson.pairs == ()
    assert await held(service) == []


async def test_a_judgement_is_heard_in_its_turn_and_once(service: PersonaService, store: MemoryStore) -> None:
    await pick(store, 1, "Python")
    for number, rating in enumerate((1.0, 1.0, -1.0, 0.5)):
        said = a_feedback(f"b{number}", user_id="ada", request_id="r1", rating=rating, created_at=NOW)
        await store.add_feedback(said)
    await learn(service)
    (facet,) = await service.history("default", "ada")
    assert (facet.evidence, facet.counter_evidence) == (("r1", "b0"), ("b2",))
    assert round(facet.confidence, 3) == round(0.76 * 0.65, 3)


async def test_a_correction_is_the_user_s_own_word(service: PersonaService, store: MemoryStore) -> None:
    await pick(store, 1, "Python")
    said = a_feedback("b1", user_id="ada", request_id="r1", correction="a command line", created_at=NOW)
    await store.add_feedback(said)
    await learn(service)
    assert sorted(await held(service)) == [("Python", 0.6), ("a command line", 0.6)]


async def test_the_least_sure_facet_makes_room_when_a_persona_is_full(
    service: PersonaService, store: MemoryStore
) -> None:
    crowd = [
        Facet(f"f{n}", f"name {n}", "v", (), 0.9 if n else 0.2, (f"e{n}",), (), NOW, NOW, None, "heuristic")
        for n in range(MOST_HELD)
    ]
    await hold(store, crowd, "ada")
    (lesson,) = await learn_picks(service, store, "Python")
    assert [(after.id, after.valid_to is None) for _, after in lesson.pairs][1:] == [("f0", False)]
    profile = await service.profile("default", "ada")
    assert len(profile.facets) == MOST_HELD
    assert "Python" in {facet.value for facet in profile.facets}


async def test_two_processes_that_learn_at_once_lose_nothing_and_learn_nothing_twice(
    store: MemoryStore, embedder: StaticEmbedder
) -> None:
    services = [service_of(store, embedder) for _ in range(3)]
    for number in range(8):
        await pick(store, number, "Python")
    lessons = await asyncio.gather(*(learn(service) for service in services))
    assert sorted(lesson.record_id for found in lessons for lesson in found) == [f"r{n}" for n in range(8)]
    (facet,) = (await services[0].profile("default", "ada")).facets
    assert facet.evidence == tuple(f"r{number}" for number in range(8))


async def test_a_store_that_fails_leaves_nothing_half_learned(
    service: PersonaService, store: MemoryStore
) -> None:
    await pick(store, 1, "Python")
    store.broken = True
    with pytest.raises(StorageError):
        await learn(service)
    store.broken = False
    assert await held(service) == []
    assert len(await learn(service)) == 1


async def test_a_model_reads_the_evidence_where_there_is_one(
    store: MemoryStore, embedder: StaticEmbedder
) -> None:
    reader = Reader(FacetChange("language of apis", "Python api", confidence=0.7))
    (lesson,) = await learn_picks(service_of(store, embedder, reader), store, "Python")
    ((_, facet),) = lesson.pairs
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
    (lesson,) = await learn_picks(service_of(store, embedder, reader), store, "Python")
    ((_, facet),) = lesson.pairs
    assert (facet.name, facet.value, facet.producer) == ("programming language", "Python", "heuristic")
    assert lesson.reading is None


async def test_what_a_user_states_stands_at_once_and_null_ends_it(
    service: PersonaService, store: MemoryStore
) -> None:
    await pick(store, 1, "Python")
    await store.add_statements([a_statement("s1", user_id="ada", name="Programming languages")])
    await learn(service)
    (facet,) = (await service.profile("default", "ada")).facets
    assert (facet.value, facet.confidence, facet.producer) == ("Haskell", 1.0, "user")
    assert facet.evidence == ("s1",)
    await store.add_statements([a_statement("s2", user_id="ada", value=None)])
    await learn(service)
    assert await held(service) == []
    history = await service.history("default", "ada")
    assert [facet.counter_evidence for facet in history] == [("s1",), ("s2",)]


async def test_an_answer_holds_in_another_thread_for_the_same_request(
    service: PersonaService, store: MemoryStore
) -> None:
    await learn_picks(service, store, "Python")
    profile = await service.profile("default", "ada")
    facet = (await service.answered(profile, ["which programming language"], "Build an API!"))[0]
    assert facet is not None
    assert facet.value == "Python"
    assert await service.answered(profile, ["budget"], "build api") == [None]
    assert await service.answered(profile, ["programming language"], "plan my holiday") == [None]


async def test_what_was_confirmed_twice_holds_for_other_requests(
    service: PersonaService, store: MemoryStore
) -> None:
    await learn_picks(service, store, "Python", "Python")
    profile = await service.profile("default", "ada")
    assert await service.answered(profile, ["programming language"], "scrape a website") != [None]


async def test_what_is_in_doubt_answers_nothing(service: PersonaService, store: MemoryStore) -> None:
    await learn_picks(service, store, "Python", "Go")
    profile = await service.profile("default", "ada")
    assert await service.answered(profile, ["programming language"], "build api") == [None]


async def test_words_alone_tell_an_answered_detail_where_the_embedder_fails(store: MemoryStore) -> None:
    service = PersonaService(store, DownEmbedder())
    at = datetime.now(UTC)
    await store.add_interaction(asked(1, created_at=at))
    await store.add_selection(a_selection("r1", user_id="ada", option="Python", created_at=at))
    await learn(service)
    profile = await service.profile("default", "ada")
    assert await service.answered(profile, ["programming language"], "build api") != [None]
    ranked, producer = await service.rank("default", "ada", "which one?", ["Rust", "Python"])
    assert [text.index for text in ranked] == [1, 0]
    assert producer == "words"


async def test_a_lesson_says_who_read_the_record(store: MemoryStore, embedder: StaticEmbedder) -> None:
    (read,) = await learn_picks(service_of(store, embedder), store, "Python")
    assert read.origin["backend"] == "heuristic"
    await pick(store, 2, "Go")
    reader = Reader(FacetChange("programming language", "Go"))
    (lesson,) = await learn(service_of(store, embedder, reader))
    assert (lesson.origin["backend"], lesson.origin["model"]) == ("vllm", "m")


@pytest.mark.parametrize(("days", "answers"), [(0, True), (47, True), (48, False), (400, False)])
async def test_what_was_said_once_answers_for_47_days(
    store: MemoryStore, embedder: StaticEmbedder, days: int, answers: bool
) -> None:
    await learn_picks(service_of(store, embedder), store, "Python")
    service = service_of(store, embedder, days=days + 0.5)
    profile = await service.profile("default", "ada")
    found = await service.answered(profile, ["programming language"], "build api")
    assert (found != [None]) is answers


async def test_a_day_has_one_confidence_and_half_a_year_halves_it(
    store: MemoryStore, embedder: StaticEmbedder
) -> None:
    await learn_picks(service_of(store, embedder), store, "Python")
    for days, confidence in ((0.9, 0.6), (10.1, 0.577), (10.9, 0.577), (180.5, 0.3), (360.5, 0.15)):
        assert await held(service_of(store, embedder, days=days)) == [("Python", confidence)]


async def test_a_pick_finds_what_age_has_left(store: MemoryStore, embedder: StaticEmbedder) -> None:
    await pick(store, 1, "Python")
    await pick(store, 2, "Python", days=180)
    service = service_of(store, embedder, days=180.5)
    await learn(service)
    assert await held(service) == [("Python", round(0.3 + 0.4 * 0.7, 3))]
    (facet,) = await service.history("default", "ada")
    assert facet.last_seen == NOW + timedelta(days=180, minutes=2)


async def test_what_nobody_spoke_of_for_long_gives_way_at_once(
    store: MemoryStore, embedder: StaticEmbedder
) -> None:
    await pick(store, 1, "Python")
    await pick(store, 2, "Go", days=200)
    service = service_of(store, embedder, days=200.5)
    await learn(service)
    assert await held(service) == [("Go", 0.6)]


async def test_a_user_s_own_word_does_not_age(store: MemoryStore, embedder: StaticEmbedder) -> None:
    await store.add_statements([a_statement("s1", user_id="ada", created_at=NOW)])
    service = service_of(store, embedder, days=2000)
    await learn(service)
    assert await held(service) == [("Haskell", 1.0)]
