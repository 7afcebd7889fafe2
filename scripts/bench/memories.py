"""Top-k over a user's memories: the vector stage and the whole fused search, against bare numpy."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from app.models import Memory
from app.services.memory_index import MemoryIndex, top_rows

_DIMENSIONS = 256
_TOP_K = 10
_ROUNDS = 40
_WORDS = 4000
_QUERY = "word7 word31 word977 word2048"


def index_of(count: int, seed: int = 7) -> tuple[MemoryIndex, np.ndarray]:
    """Texts of twelve words, drawn as words are used (Zipf), with random unit vectors."""
    rng = np.random.default_rng(seed)
    drawn = np.minimum(rng.zipf(1.3, (count, 12)), _WORDS)
    vectors = rng.standard_normal((count, _DIMENSIONS), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    now = datetime.now(UTC)
    memories = [
        Memory(str(row), " ".join(f"word{number}" for number in words), None, None, None, "note", 0.5, now)
        for row, words in enumerate(drawn)
    ]
    return MemoryIndex(memories, vectors), vectors


def alternately(*works: Callable[[], object]) -> list[float]:
    """The median milliseconds of each, taken in turn so that a slow moment hits all."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(_ROUNDS):
        for work, taken in zip(works, times, strict=True):
            began = time.perf_counter()
            work()
            taken.append(1000 * (time.perf_counter() - began))
    return [sorted(taken)[_ROUNDS // 2] for taken in times]


async def measure() -> None:
    for count in (10_000, 100_000):
        index, vectors = index_of(count)
        query = vectors[1] + 0.1

        def bare(vectors: np.ndarray = vectors, query: np.ndarray = query) -> object:
            scores = vectors @ query
            best = np.argpartition(scores, -_TOP_K)[-_TOP_K:]
            return best[np.argsort(-scores[best])]

        def stage(index: MemoryIndex = index, query: np.ndarray = query) -> object:
            return top_rows(index.cosines(query), _TOP_K)

        def fused(index: MemoryIndex = index, query: np.ndarray = query) -> object:
            return index.search(_QUERY, query, datetime.now(UTC), _TOP_K)

        yardstick, top_k, whole = alternately(bare, stage, fused)
        print(
            f"{count:7d} memories: bare {yardstick:6.2f} ms, top-k stage {top_k:6.2f} ms"
            f" ({top_k / yardstick:.2f} x), fused search {whole:6.2f} ms ({whole / yardstick:.2f} x)"
        )
