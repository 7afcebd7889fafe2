"""The memories of one user, laid out for exact search: arrays that a query meets row by row.

The rule of fusion. Both parts are on an absolute scale, never stretched to the best of this
query, so each is heard as far as it has something to say:

    relevance = bm25 share + 0.6 * cosine
    score     = relevance + 0.3 * (relevance of the memory before and of the one after)
                + 0.05 * recency + 0.1 * (importance - 0.5)

* The share is the part of the query's information (idf mass) found in a memory, word for word. A
  question about a thing that was said finds 0.4 of itself in the best memory, often more, and
  words decide. One that needs a preference finds a common word or two, 0.1, and meaning decides.
* The cosine is taken after what all memories of this user have in common is taken out of both
  sides (Mu and Viswanath, All-but-the-Top, 2018), or every memory would look much alike. The
  common part is shrunk by n / (n + 20), for a few memories do not show what is common.
* What is said next to an answer belongs to it: question and answer share few words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from app.clients.embedding.base import Vectors
from app.models import Memory, RankedMemory
from app.services.lexical import Scores, WordIndex

MEANING_WEIGHT = 0.6
NEIGHBOUR_SHARE = 0.3
RECENCY_WEIGHT = 0.05
IMPORTANCE_WEIGHT = 0.1
NEUTRAL_IMPORTANCE = 0.5
RECENCY_HALF_LIFE = 30 * 24 * 3600.0
"""Seconds. Ages are absolute, so memories of the same hour are the same to it."""
_SHRINKAGE = 20


@dataclass(frozen=True, slots=True)
class _Parts:
    """One value for each memory, in the index's order."""

    cosine: Scores
    bm25: Scores
    recency: Scores
    importance: Scores


class MemoryIndex:
    """Built once for a version of a user's memories; read-only afterwards, so threads may share it."""

    def __init__(self, memories: Sequence[Memory], vectors: Vectors | None) -> None:
        """`vectors` has shape (len(memories), dimensions), unit rows or zeros; None: words only."""
        self.memories = tuple(memories)
        self._words = WordIndex([memory.text for memory in memories])
        self._vectors = vectors
        if vectors is not None:
            self._centre, self._scale = _centred(vectors)
        self._before, self._after = _neighbours(memories)
        self._created = np.array([memory.created_at.timestamp() for memory in memories])
        self._importance = np.array([memory.importance for memory in memories], np.float32)

    def __len__(self) -> int:
        return len(self.memories)

    @property
    def dimensions(self) -> int:
        """The length that a query's vector must have; 0: there are no vectors, words alone rank."""
        return 0 if self._vectors is None else int(self._vectors.shape[1])

    def search(self, query: str, vector: Vectors | None, now: datetime, top_k: int) -> list[RankedMemory]:
        """The best `top_k`, best first; ties among them in the order of the memories.

        `vector` has shape (dimensions,); None: words alone rank.
        """
        if not self.memories:
            return []
        parts = _Parts(
            self.cosines(vector),
            self._words.shares(query),
            self._recency(now),
            self._importance,
        )
        scores = self._fuse(parts)
        return [self._ranked(row, scores, parts) for row in top_rows(scores, top_k)]

    def cosines(self, vector: Vectors | None) -> Scores:
        """The cosine of each memory with the query, both less the common part; 0 for empty texts."""
        if self._vectors is None or vector is None or not vector.any():
            return np.zeros(len(self), np.float32)
        query = vector - self._centre
        query /= max(float(np.linalg.norm(query)), 1e-9)
        products: Scores = self._vectors @ query
        products -= self._centre @ query
        products *= self._scale
        return products

    def _fuse(self, parts: _Parts) -> Scores:
        relevance = np.zeros(len(self) + 1, np.float32)  # the last place: no neighbour
        np.multiply(parts.cosine, MEANING_WEIGHT, out=relevance[:-1])
        relevance[:-1] += parts.bm25
        scores: Scores = relevance[self._before] + relevance[self._after]
        scores *= NEIGHBOUR_SHARE
        scores += relevance[:-1]
        scores += RECENCY_WEIGHT * parts.recency
        scores += IMPORTANCE_WEIGHT * (parts.importance - NEUTRAL_IMPORTANCE)
        return scores

    def _recency(self, now: datetime) -> Scores:
        """1 for now, halved every 30 days."""
        ages = np.maximum(0.0, now.timestamp() - self._created)
        halvings = (ages / RECENCY_HALF_LIFE).astype(np.float32)
        return np.exp2(-halvings)

    def _ranked(self, row: int, scores: Scores, parts: _Parts) -> RankedMemory:
        each: dict[str, float | None] = {
            name: round(float(getattr(parts, name)[row]), 6)
            for name in ("cosine", "bm25", "recency", "importance")
        }
        return RankedMemory(self.memories[row], round(float(scores[row]), 6), {**each, "rerank": None})


def top_rows(scores: Scores, count: int) -> list[int]:
    """The rows of the `count` highest scores, exactly, highest first; ties among them by row."""
    count = min(count, len(scores))
    if count < 1:
        return []
    best = np.argpartition(scores, len(scores) - count)[len(scores) - count :]
    order = np.lexsort((best, -scores[best]))
    return [int(row) for row in best[order]]


def _centred(vectors: Vectors) -> tuple[Vectors, Scores]:
    """The common part, shape (dimensions,), and 1 over each row's length once it is taken out."""
    count = len(vectors)
    centre = vectors.sum(axis=0, dtype=np.float64) / (count + _SHRINKAGE)
    squares = np.einsum("ij,ij->i", vectors, vectors)
    lengths = np.sqrt(np.maximum(squares - 2 * (vectors @ centre) + centre @ centre, 1e-12))
    scale = np.where(squares > 0, 1 / lengths, 0.0)
    return centre.astype(np.float32), scale.astype(np.float32)


def _neighbours(memories: Sequence[Memory]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row the rows before and after it in its thread; len(memories) where there is none."""
    count = len(memories)
    order = sorted(range(count), key=lambda row: _place(memories[row], row))
    before, after = np.full(count, count), np.full(count, count)
    for left, right in pairwise(order):
        if memories[left].thread == memories[right].thread:
            before[right], after[left] = left, right
    return before, after


def _place(memory: Memory, row: int) -> tuple[bool, str, bool, int, int]:
    """By thread, then by position; those without a position follow in the order they came in."""
    return memory.thread is None, memory.thread or "", memory.position is None, memory.position or 0, row
