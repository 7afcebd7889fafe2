"""Several lists of hypotheses into one: near-duplicates merged, the best of each first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from app.clients.embedding.base import Embedder, Vectors
from app.errors import BackendError
from app.models import Confidence, Hypothesis
from app.text import stems

_SAME_COSINE = 0.72
_SAME_WORDS = 0.6
_RRF_K = 60


async def merge(
    lists: Sequence[Sequence[Hypothesis]], embedder: Embedder, count: int, asked: Sequence[str] = ()
) -> list[Hypothesis]:
    """At most `count` hypotheses, ordered by reciprocal rank fusion (Cormack et al., SIGIR 2009).

    Two that ask the same are one: the earlier list's wording stays, both ranks count, and options
    are taken from the other where it has none. What is like a text in `asked` is left out. With
    one list the order and the raw scores are that list's own. Where the embedder fails, words alone compare.
    """
    flat = [(source, rank, one) for source, found in enumerate(lists) for rank, one in enumerate(found)]
    vectors = await _vectors(embedder, [_about(one) for _, _, one in flat] + list(asked))
    words = [frozenset(stems(one.detail)) for _, _, one in flat] + [frozenset(stems(text)) for text in asked]
    same = _alike(vectors, words)
    kept: dict[int, Hypothesis] = {}
    scores: dict[int, float] = {}
    for index, (_, rank, one) in enumerate(flat):
        if same[index, len(flat) :].any():
            continue
        twin = next((other for other in kept if same[index, other]), None)
        if twin is None:
            kept[index], scores[index] = one, 1 / (_RRF_K + rank)
        else:
            scores[twin] += 1 / (_RRF_K + rank)
            if not kept[twin].options:
                kept[twin] = replace(kept[twin], options=one.options)
    order = sorted(kept, key=lambda index: (-scores[index], index))[:count]
    if len(lists) == 1:
        return [kept[index] for index in order]
    best = len(lists) / _RRF_K
    return [_with_raw(kept[index], scores[index] / best) for index in order]


def agreement(hypothesis: Hypothesis, lists: int) -> float:
    """Of a hypothesis that `merge` made of so many lists, the share of the other lists that propose it too.

    A list adds 1/lists to its raw score at most, and a little less the lower it stood.
    """
    if lists < 2:
        return 0.0
    return (min(lists, math.ceil(hypothesis.confidence.raw * lists)) - 1) / (lists - 1)


async def _vectors(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    try:
        return await embedder.embed(texts)
    except BackendError:
        return np.zeros((len(texts), 1), np.float32)


def _about(hypothesis: Hypothesis) -> str:
    return f"{hypothesis.detail} {hypothesis.question}"


def _with_raw(hypothesis: Hypothesis, raw: float) -> Hypothesis:
    return replace(hypothesis, confidence=Confidence(raw=round(raw, 4)))


def _alike(vectors: Vectors, words: Sequence[frozenset[str]]) -> np.ndarray:
    close = vectors @ vectors.T >= _SAME_COSINE
    for row, left in enumerate(words):
        for column, right in enumerate(words[:row]):
            if left and right and len(left & right) / min(len(left), len(right)) > _SAME_WORDS:
                close[row, column] = close[column, row] = True
    return close
