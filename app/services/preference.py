"""Options in the order that a user's facets give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.clients.embedding.base import Embedder, Vectors
from app.errors import BackendError
from app.models import Facet, RankedText
from app.services.contrast import Bag, Contrast, bag
from app.services.likeness import Likeness
from app.text import stems

_FAR_FACET = 0.1
"""What a facet learned in quite another request still weighs: preferences carry over."""
_RELEVANCE_WEIGHT = 0.02
"""So little that it decides only where the facets are silent."""
_MOST_FACETS = 64


@dataclass(frozen=True, slots=True)
class _Lesson:
    """A facet as the words of what was chosen and what was not."""

    chosen: Bag
    rejected: tuple[Bag, ...]
    weight: float


async def order(
    facets: Sequence[Facet], query: str, candidates: Sequence[str], embedder: Embedder
) -> tuple[list[RankedText], str]:
    """The candidates, best first, and who ordered them.

    A score is the mean of the candidate's contrasts (contrast.py) with the facets, each weighted by
    the facet's confidence and by how near its request is to the query, plus a little for its own
    likeness to the query. Producer: "persona", "relevance" without facets, "words" where the
    embedder fails and only equal stems count.
    """
    likeness = await Likeness.of(embedder, (query, *candidates, *map(_setting, facets)))
    lessons = _lessons(facets, query, likeness)
    said = stems(query)
    bags = [bag(candidate, without=said) for candidate in candidates]
    vectors = await _word_vectors(bags, lessons, embedder)
    scores = _contrasts(bags, lessons, vectors)
    scores += _RELEVANCE_WEIGHT * np.array([likeness.cosine(query, candidate) for candidate in candidates])
    best = sorted(range(len(candidates)), key=lambda index: (-scores[index], index))
    ranked = [RankedText(index, candidates[index], round(float(scores[index]), 6)) for index in best]
    if vectors is None:
        return ranked, "words"
    return ranked, "persona" if lessons else "relevance"


def _lessons(facets: Sequence[Facet], query: str, likeness: Likeness) -> list[_Lesson]:
    lessons = [
        _Lesson(
            bag(facet.value), tuple(bag(each) for each in facet.rejected), _weight(facet, query, likeness)
        )
        for facet in facets
        if facet.confidence > 0
    ]
    return sorted(lessons, key=lambda lesson: -lesson.weight)[:_MOST_FACETS]


def _weight(facet: Facet, query: str, likeness: Likeness) -> float:
    near = max(0.0, likeness.cosine(query, _setting(facet)))
    return facet.confidence * (_FAR_FACET + (1 - _FAR_FACET) * near)


def _setting(facet: Facet) -> str:
    """The request and the detail a facet belongs to; in a choice made elsewhere they are one."""
    return facet.name if facet.context in {"", facet.name} else f"{facet.context} {facet.name}"


async def _word_vectors(
    bags: Sequence[Bag], lessons: Sequence[_Lesson], embedder: Embedder
) -> Mapping[str, Vectors] | None:
    """A vector for every word that votes or is voted on; None where the embedder fails."""
    voting = (*bags, *(each for lesson in lessons for each in (lesson.chosen, *lesson.rejected)))
    vocabulary = list(dict.fromkeys(word for each in voting for word in each.words))
    try:
        return dict(zip(vocabulary, await embedder.embed(vocabulary), strict=True))
    except BackendError:
        return None


def _contrasts(
    bags: Sequence[Bag], lessons: Sequence[_Lesson], vectors: Mapping[str, Vectors] | None
) -> NDArray[np.float64]:
    contrast = Contrast(bags, vectors or {})
    total = np.zeros(len(bags))
    for lesson in lessons:
        total += lesson.weight * contrast.scores(lesson.chosen, lesson.rejected)
    return total / (sum(lesson.weight for lesson in lessons) or 1.0)
