"""What requests like this one left open: their details, grouped so that a concern stands once, and scored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from app.clients.embedding.base import Vectors
from app.clients.slm.rules.vectors import CachedVectors
from app.clients.slm.rules.wording import FORM_STEMS, names, topic
from app.models import Detail, Example
from app.text import stems

SAME_CONCERN = 0.6
"""Cosine of two details above which they ask for the same thing."""
_CANDIDATES = 24
_OPTIONS = 4

FEATURES = (
    "share", "root_share", "support", "nearest", "importance", "highest", "fits_request",
    "foreign", "left", "lone", "position", "spread",
)  # fmt: skip
WEIGHTS = (1.7549, -0.5649, 0.6658, 0.1365, 0.0081, 0.0016, 0.17, -0.0357, -0.0408, -0.0684, -0.0114, -0.0384)
BIAS = 0.0571


@dataclass(frozen=True, slots=True)
class Member:
    """One detail of one example, as far as it can be asked of this request."""

    detail: Detail
    example: Example
    position: int
    weight: float
    topic: str
    foreign: frozenset[str]


@dataclass(frozen=True, slots=True)
class Concern:
    """Details that ask for the same thing; the first member is the one in their midst."""

    members: tuple[Member, ...]
    vector: NDArray[np.float32]
    """Of the middle detail and its question, unit length."""
    topic_vector: NDArray[np.float32]
    features: tuple[float, ...]

    @property
    def topic(self) -> str:
        """What is asked for, in words that fit this request: "dietary restrictions"."""
        return self.members[0].topic

    @property
    def core(self) -> frozenset[str]:
        """The stems of the topic that say what it is about."""
        return bag(self.topic) - FORM_STEMS

    @property
    def options(self) -> tuple[str, ...]:
        """One member's options, as those of several do not exclude each other; none of another request."""
        for member in self.members:
            fitting = [option for option in member.detail.options if not bag(option) & member.foreign]
            if len(fitting) > 1:
                return tuple(fitting[:_OPTIONS])
        return ()

    @property
    def score(self) -> float:
        """The expected worth of asking, 0..1: importance / 3 where the request lacks it, else 0."""
        linear = BIAS + sum(weight * x for weight, x in zip(WEIGHTS, self.features, strict=True))
        return min(1.0, max(0.0, linear))

    @property
    def importance(self) -> int:
        """1..3, the weighted mean of the members'."""
        total = sum(member.weight for member in self.members)
        mean = sum(member.weight * member.detail.importance for member in self.members) / total
        return min(3, max(1, round(mean)))


@lru_cache(maxsize=8_192)
def bag(text: str) -> frozenset[str]:
    """The stems of a detail's text, which comes back with every request like it."""
    return frozenset(stems(text))


async def find_concerns(request: str, examples: Sequence[Example], vectors: CachedVectors) -> list[Concern]:
    """The concerns of the examples that this request can have, best first."""
    members = _members(request, examples)
    if not members:
        return []
    details = await vectors.of([f"{m.detail.description}. {m.detail.question}" for m in members])
    topics = await vectors.of([m.topic for m in members])
    asked = (await vectors.of([request]))[0]
    groups = _groups(details)
    groups.sort(key=lambda group: -sum(members[i].weight for i in group))
    shared = _Shared(request, members, examples)
    concerns = [
        _concern(group, members, (details, topics, topics @ asked), shared) for group in groups[:_CANDIDATES]
    ]
    return sorted(concerns, key=lambda concern: -concern.score)


def _members(request: str, examples: Sequence[Example]) -> list[Member]:
    """Every askable detail, heaviest first."""
    said = set(stems(request))
    common = {s for e in examples for d in e.details for s in bag(d.description) - bag(e.text or "")}
    members = []
    for example in examples:
        source = bag(example.text or "")
        foreign = frozenset((source - said - common) | (names(example.text or "") - said))
        for position, detail in enumerate(example.details):
            if phrase := topic(detail.description, foreign):
                weight = example.similarity**2 * detail.importance * example.weight
                members.append(Member(detail, example, position, weight, phrase, foreign))
    return sorted(members, key=lambda member: -member.weight)


def _groups(vectors: Vectors) -> list[list[int]]:
    """Each row joins the nearest earlier leader at SAME_CONCERN or above, else leads a group itself."""
    alike = vectors @ vectors.T
    leaders: list[int] = []
    groups: dict[int, list[int]] = {}
    for row in range(len(vectors)):
        nearest = max(leaders, key=lambda leader: alike[row, leader], default=None)
        if nearest is None or alike[row, nearest] < SAME_CONCERN:
            leaders.append(row)
            groups[row] = [row]
        else:
            groups[nearest].append(row)
    return list(groups.values())


class _Shared:
    """What the features of all concerns of one request are relative to."""

    def __init__(self, request: str, members: Sequence[Member], examples: Sequence[Example]) -> None:
        self.said = bag(request)
        self.weight = sum(member.weight for member in members) or 1.0
        self.similarity = sum(example.similarity for example in examples) or 1.0
        self._seen: dict[str, set[str]] = {}
        for member in members:
            for stem in bag(member.topic):
                self._seen.setdefault(stem, set()).add(member.example.id)

    def lone(self, phrase: str) -> float:
        """The share of stems that no second example's details and not the request have."""
        found = bag(phrase)
        return sum(len(self._seen[s]) < 2 and s not in self.said for s in found) / len(found)


def _concern(
    group: list[int], members: Sequence[Member], spaces: tuple[Vectors, Vectors, Vectors], shared: _Shared
) -> Concern:
    """`spaces`: the vectors of details and of topics, and the cosine of each topic with the request."""
    details, topics, fits = spaces
    weights = np.array([members[i].weight for i in group], np.float32)
    alike = details[group] @ details[group].T
    middle = group[int(np.argmax(alike @ weights))]
    inside = tuple(members[i] for i in [middle, *(i for i in group if i != middle)])
    features = _features(inside, float(fits[middle]), shared)
    return Concern(inside, details[middle], topics[middle], features)


def _features(members: tuple[Member, ...], fit: float, shared: _Shared) -> tuple[float, ...]:
    """In the order of FEATURES."""
    examples = {member.example.id: member.example for member in members}
    share = sum(member.weight for member in members) / shared.weight
    importances = [member.detail.importance for member in members]
    phrase = bag(members[0].topic)
    described = bag(members[0].detail.description)
    return (
        share,
        math.sqrt(share),
        sum(e.similarity for e in examples.values()) / shared.similarity,
        max(e.similarity for e in examples.values()),
        sum(importances) / len(importances),
        max(importances),
        fit,
        len(described & members[0].foreign) / max(1, len(described)),
        min(len(phrase - shared.said), 4) / 4,
        shared.lone(members[0].topic),
        sum(member.position for member in members) / len(members),
        math.log(len(examples)),
    )
