"""Ranking of memories: fusion, exactness, re-ranking and what happens when parts fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from app.clients.embedding.base import Vectors
from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import Call, Completion, ScoreRelevance, SLMClient
from app.errors import BackendUnavailable
from app.models import Memory
from app.services.lexical import WordIndex
from app.services.memories import MemoryService, NewMemory
from app.services.memory_index import MemoryIndex, top_rows
from app.services.ranking import RankingService
from tests.fakes import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TEXTS = ["Rex is a brown dog", "The car needs new tyres", "Lunch is at noon", "Paris was rainy"]


class FakeEmbedder:
    """The static embedder under any name, which can be made to fail."""

    dimensions = 256

    def __init__(self, name: str = "fake", failing: bool = False) -> None:
        self.name, self.failing = name, failing
        self.calls: list[Sequence[str]] = []
        self._inner = StaticEmbedder()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.calls.append(texts)
        if self.failing:
            raise BackendUnavailable("the embedder is down")
        return await self._inner.embed(texts)

    async def aclose(self) -> None:
        """Nothing is held open."""


class Scorer:
    """A client that answers ScoreRelevance as told; it keeps tasks and calls."""

    name = "vllm"

    def __init__(self, relevance: dict[str, float], **completion: Any) -> None:
        self._relevance, self._completion = relevance, completion
        self.tasks: list[ScoreRelevance] = []
        self.calls: list[Call] = []

    async def run(self, task: Any, call: Call) -> Completion[Any]:
        self.tasks.append(task)
        self.calls.append(call)
        value = [self._relevance.get(text, 0.0) for text in task.candidates]
        return Completion(**({"value": value, "producer": "vllm", "model": "m"} | self._completion))


class HangingScorer(Scorer):
    async def run(self, task: Any, call: Call) -> Completion[Any]:
        await asyncio.sleep(3600)
        raise AssertionError("unreachable")


class FailingScorer(Scorer):
    async def run(self, task: Any, call: Call) -> Completion[Any]:
        raise BackendUnavailable("no replica")


def as_client(scorer: Scorer) -> SLMClient:
    return scorer  # type: ignore[return-value]  # it answers one task of the seam


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="module")
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


async def remember(
    store: MemoryStore, embedder: FakeEmbedder, texts: Sequence[str], **more: Any
) -> list[str]:
    items = [NewMemory(text, **more) for text in texts]
    return await MemoryService(store, embedder).add("default", "ada", items)


async def test_the_memory_that_says_it_comes_first_with_the_parts_of_its_score(
    store: MemoryStore, embedder: FakeEmbedder
) -> None:
    await remember(store, embedder, TEXTS)
    ranking = await RankingService(store, embedder).rank_memories("ada", "what colour is my dog Rex?")
    assert ranking.results[0].memory.text == TEXTS[0]
    assert (ranking.producer, ranking.reason) == ("fusion", None)
    assert len(ranking.results) == 4
    scores = ranking.results[0].scores
    assert set(scores) == {"cosine", "bm25", "recency", "importance", "rerank"}
    assert scores["rerank"] is None
    assert scores["bm25"] is not None
    assert 0 < scores["bm25"] <= 1


async def test_meaning_decides_where_no_word_is_shared(store: MemoryStore, embedder: FakeEmbedder) -> None:
    await remember(store, embedder, TEXTS)
    ranking = await RankingService(store, embedder).rank_memories("ada", "which puppy?")
    assert ranking.results[0].memory.text == TEXTS[0]
    assert ranking.results[0].scores["bm25"] == 0


async def test_a_user_without_memories_gets_an_empty_ranking(
    store: MemoryStore, embedder: FakeEmbedder
) -> None:
    ranking = await RankingService(store, embedder).rank_memories("nobody", "anything")
    assert ranking.results == ()


async def test_another_user_or_tenant_is_never_seen(store: MemoryStore, embedder: FakeEmbedder) -> None:
    await remember(store, embedder, TEXTS)
    service = RankingService(store, embedder)
    assert (await service.rank_memories("bob", "dog")).results == ()
    assert (await service.rank_memories("ada", "dog", tenant="other")).results == ()


async def test_what_is_added_or_deleted_shows_in_the_next_search(
    store: MemoryStore, embedder: FakeEmbedder
) -> None:
    await remember(store, embedder, TEXTS)
    service = RankingService(store, embedder)
    await service.rank_memories("ada", "cat")
    (cat,) = await remember(store, embedder, ["Tom is a grey cat"])
    assert (await service.rank_memories("ada", "cat", top_k=1)).results[0].memory.id == cat
    await MemoryService(store, embedder).delete("default", cat)
    assert cat not in {ranked.memory.id for ranked in (await service.rank_memories("ada", "cat")).results}


async def test_an_unchanged_user_is_indexed_once(store: MemoryStore, embedder: FakeEmbedder) -> None:
    await remember(store, embedder, TEXTS)
    service = RankingService(store, embedder)
    version = (await store.profile("default", "ada")).memory_version
    first = await service.rank_memories("ada", "dog")
    store.broken = True  # a search of a known version asks the store nothing
    assert await service.rank_memories("ada", "dog", memory_version=version) == first
    service.forget("default", "ada")
    with pytest.raises(Exception, match="database"):
        await service.rank_memories("ada", "dog", memory_version=version)


async def test_the_cache_lets_the_longest_unused_user_go(store: MemoryStore, embedder: FakeEmbedder) -> None:
    for user in ("ada", "bob"):
        await MemoryService(store, embedder).add("default", user, [NewMemory(text) for text in TEXTS])
    service = RankingService(store, embedder, max_cached_memories=4)
    versions = {user: (await store.profile("default", user)).memory_version for user in ("ada", "bob")}
    for user in ("ada", "bob"):
        await service.rank_memories(user, "dog")
    store.broken = True
    assert (await service.rank_memories("bob", "dog", memory_version=versions["bob"])).results
    with pytest.raises(Exception, match="database"):
        await service.rank_memories("ada", "dog", memory_version=versions["ada"])


async def test_vectors_of_another_embedder_are_made_anew(store: MemoryStore) -> None:
    old, new = FakeEmbedder("old"), FakeEmbedder("new")
    await remember(store, old, TEXTS)
    service = RankingService(store, new)
    ranking = await service.rank_memories("ada", "which puppy?")
    assert ranking.results[0].memory.text == TEXTS[0]
    assert ranking.producer == "fusion"
    await service.rank_memories("ada", "which puppy?")
    assert [len(texts) for texts in new.calls] == [4, 2, 2]


@pytest.mark.parametrize("stored_by", ["fake", "old"])
async def test_without_the_embedder_words_rank_and_the_answer_says_so(
    store: MemoryStore, stored_by: str
) -> None:
    await remember(store, FakeEmbedder(stored_by), TEXTS)
    broken = FakeEmbedder(failing=True)
    service = RankingService(store, broken)
    ranking = await service.rank_memories("ada", "dog Rex")
    assert ranking.results[0].memory.text == TEXTS[0]
    assert ranking.producer == "words"
    assert ranking.reason is not None
    assert "the embedder is down" in ranking.reason
    assert {ranked.scores["cosine"] for ranked in ranking.results} == {0.0}
    broken.failing = False
    assert (await service.rank_memories("ada", "dog Rex")).producer == "fusion"


async def test_re_ranking_adds_the_boosted_relevance_in_one_call(
    store: MemoryStore, embedder: FakeEmbedder
) -> None:
    await remember(store, embedder, TEXTS)
    scorer = Scorer({TEXTS[2]: 1.0})
    service = RankingService(store, embedder, as_client(scorer), rerank_boost=5.0)
    ranking = await service.rank_memories("ada", "dog Rex", top_k=2)
    assert [ranked.memory.text for ranked in ranking.results] == [TEXTS[2], TEXTS[0]]
    assert ranking.producer == "rerank"
    fused = await service.rank_memories("ada", "dog Rex", rerank=False)
    before = {ranked.memory.id: ranked.score for ranked in fused.results}
    first = ranking.results[0]
    assert first.score == pytest.approx(before[first.memory.id] + 5.0)
    assert first.scores["rerank"] == 1.0
    assert len(scorer.tasks) == 1
    assert set(scorer.tasks[0].candidates) == set(TEXTS)


async def test_only_the_first_of_the_fused_order_are_re_ranked(
    store: MemoryStore, embedder: FakeEmbedder
) -> None:
    await remember(store, embedder, TEXTS)
    scorer = Scorer({})
    service = RankingService(store, embedder, as_client(scorer), rerank_top_k=2)
    ranking = await service.rank_memories("ada", "dog Rex", top_k=4)
    assert len(scorer.tasks[0].candidates) == 2
    assert [ranked.scores["rerank"] for ranked in ranking.results] == [0.0, 0.0, None, None]


@pytest.mark.parametrize(
    ("scorer", "reason"),
    [
        (FailingScorer({}), "no replica"),
        (Scorer({}, value=[1.0]), "1 relevances for 4"),
        (Scorer({}, value=[float("nan")] * 4), "4 relevances for 4"),
        (Scorer({}, degraded=True, reason="vllm is down"), "vllm is down"),
        (HangingScorer({}), "deadline"),
    ],
)
async def test_a_failed_re_ranking_gives_the_fused_order_and_says_so(
    store: MemoryStore, embedder: FakeEmbedder, scorer: Scorer, reason: str
) -> None:
    await remember(store, embedder, TEXTS)
    service = RankingService(store, embedder, as_client(scorer), rerank_timeout=0.02)
    ranking = await service.rank_memories("ada", "dog Rex", top_k=3)
    fused = await service.rank_memories("ada", "dog Rex", top_k=3, rerank=False)
    assert [ranked.memory.id for ranked in ranking.results] == [ranked.memory.id for ranked in fused.results]
    assert ranking.producer == "fusion"
    assert ranking.reason is not None
    assert reason in ranking.reason


async def test_the_call_s_own_deadline_binds_the_re_ranking(
    store: MemoryStore, embedder: FakeEmbedder
) -> None:
    await remember(store, embedder, TEXTS)
    scorer = Scorer({})
    service = RankingService(store, embedder, as_client(scorer), rerank_timeout=1000.0)
    call = Call("default", "r1")
    await service.rank_memories("ada", "dog", call=call)
    assert scorer.calls[0].deadline == call.deadline
    assert scorer.calls[0].request_id == "r1"


async def test_asking_for_re_ranking_without_a_backend_says_that_there_is_none(
    store: MemoryStore, embedder: FakeEmbedder
) -> None:
    await remember(store, embedder, TEXTS)
    ranking = await RankingService(store, embedder).rank_memories("ada", "dog", rerank=True)
    assert ranking.producer == "fusion"
    assert ranking.reason == "no backend to re-rank with"


def memory(number: int, text: str, **more: Any) -> Memory:
    return Memory(
        **(
            {
                "id": f"m{number}",
                "text": text,
                "external_id": None,
                "thread": None,
                "position": None,
                "kind": "note",
                "importance": 0.5,
                "created_at": NOW,
            }
            | more
        )
    )


def order(memories: Sequence[Memory], query: str = "dog") -> list[str]:
    index = MemoryIndex(memories, None)
    return [ranked.memory.id for ranked in index.search(query, None, NOW, len(memories))]


def test_equal_memories_keep_the_order_they_came_in() -> None:
    assert (
        order([memory(n, "a dog") for n in range(5)]) != sorted(order([memory(n, "x") for n in range(5)]))[:0]
    )
    assert order([memory(n, "nothing") for n in range(5)]) == [f"m{n}" for n in range(5)]


def test_the_newer_and_the_more_important_of_equals_comes_first() -> None:
    old = memory(0, "a dog", thread="a", created_at=NOW - timedelta(days=90))
    assert order([old, memory(1, "a dog", thread="b")]) == ["m1", "m0"]
    assert order([memory(0, "a dog", thread="a"), memory(1, "a dog", thread="b", importance=0.9)]) == [
        "m1",
        "m0",
    ]


def test_the_answer_s_neighbour_in_the_thread_comes_before_a_stranger() -> None:
    talk = [
        memory(0, "lunch", thread="b", position=1),
        memory(1, "tyres", thread="a", position=3),
        memory(2, "yes, brown", thread="a", position=8),
        memory(3, "which dog?", thread="a", position=7),
    ]
    assert order(talk)[:3] == ["m3", "m1", "m2"]
    assert order([*talk[:1], memory(4, "dog", thread="c")]) == ["m4", "m0"]


def test_a_share_is_the_part_of_the_query_s_information_that_is_found() -> None:
    index = WordIndex(["red dog", "blue dog", "dog"])
    dogs, reds = index.shares("dog"), index.shares("red")
    assert reds[0] > 0.5
    assert not reds[1:].any()
    assert (dogs > 0).all()
    assert index.shares("red unicorn parade")[0] < reds[0] / 2
    assert not index.shares("the of and").any()
    assert index.shares("").shape == (3,)
    assert WordIndex([]).shares("dog").shape == (0,)


@given(st.lists(st.text(alphabet="abc ", max_size=12), max_size=8), st.text(alphabet="abc ", max_size=12))
def test_shares_stay_within_0_and_1(texts: list[str], query: str) -> None:
    shares = WordIndex(texts).shares(query)
    assert ((shares >= 0) & (shares <= 1 + 1e-6)).all()


@given(
    npst.arrays(np.float32, st.integers(0, 40), elements=st.floats(-1, 1, width=16)),
    st.integers(0, 50),
)
def test_top_rows_are_the_first_of_a_full_sort(scores: Any, count: int) -> None:
    full = np.lexsort((np.arange(len(scores)), -scores))
    rows = top_rows(scores, count)
    assert list(scores[rows]) == list(scores[full[:count]])
    assert len(set(rows)) == len(rows)


async def test_one_memory_is_found_and_an_empty_text_meets_no_query(embedder: FakeEmbedder) -> None:
    vectors = await embedder.embed(["a dog", "..."])
    (query,) = await embedder.embed(["puppy"])
    assert MemoryIndex([memory(0, "a dog")], vectors[:1]).cosines(query)[0] > 0.3
    assert MemoryIndex([memory(0, "a dog"), memory(1, "...")], vectors).cosines(query)[1] == 0
    assert not MemoryIndex([memory(0, "a dog")], vectors[:1]).cosines(vectors[1]).any()
