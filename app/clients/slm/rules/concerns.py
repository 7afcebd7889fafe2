"""What requests like this one left open, and how much of it each possible question would settle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.clients.embedding.base import Embedder, Vectors
from app.clients.slm.rules.bags import bag
from app.clients.slm.rules.options import offer, shared_stems
from app.clients.slm.rules.wording import core, names, topic
from app.models import Detail, Example

_HALF_SURE, _SLOPE = 0.55, 0.1
"""Two details are the same concern with probability sigmoid((cosine - _HALF_SURE) / _SLOPE)."""
_SHARPNESS = 2
"""The power of an example's similarity in the weight of its details."""
_NEAREST, _NEAREST_LEARNED = 12, 24
"""Examples read; more change the answers little. Learned ones have one detail each, shipped ones three."""
_ALIKE = 0.5
_OTHERS = 5
Square = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Member:
    """One detail of one example, as far as it can be asked of this request."""

    detail: Detail
    example: Example
    weight: float
    topic: str
    """What is asked for, in words that fit this request: "dietary restrictions"."""
    foreign: frozenset[str]
    """Stems of the example's request that this one does not have."""

    @property
    def core(self) -> frozenset[str]:
        """The stems of the topic that say what it is about."""
        return core(self.topic)


@dataclass(frozen=True, slots=True)
class Concern:
    """A detail worth asking for, and the others that ask for the same."""

    members: tuple[Member, ...]
    """The one that is asked, then the nearest."""
    topic_vector: NDArray[np.float32]
    score: float
    """0..1: the share of the examples' details, by weight, that the question settles and no earlier one."""
    said: frozenset[str]
    shared: frozenset[str]

    def options(self, first: Member) -> tuple[str, ...]:
        """What can be offered with the question of `first`: its own options, or those of a near member.

        The nearest by meaning may ask for something else of the same thing: it must share a word
        that the request does not have.
        """
        near = (member for member in self.members[:_OTHERS] if member is not first)
        order = [first, *(one for one in near if (one.core & first.core) - self.said)]
        return offer([(m.detail, m.example, m.foreign) for m in order], self.said, self.shared)

    @property
    def topic(self) -> str:
        """The topic of the member that is asked."""
        return self.members[0].topic

    @property
    def core(self) -> frozenset[str]:
        """The core of the member that is asked."""
        return self.members[0].core

    @property
    def importance(self) -> int:
        """1..3, the weighted mean of the members'."""
        total = sum(member.weight for member in self.members)
        mean = sum(member.weight * member.detail.importance for member in self.members) / total
        return min(3, max(1, round(mean)))


@dataclass(frozen=True, slots=True)
class Concerns:
    """The details of a request's examples: n members, heaviest first, and how alike they are."""

    members: tuple[Member, ...]
    topics: Vectors
    same: Square
    """Shape (n, n): the probability that two members are the same concern."""
    said: frozenset[str]
    shared: frozenset[str]

    @classmethod
    async def of(cls, request: str, examples: Sequence[Example], embedder: Embedder) -> Concerns:
        """Raises BackendError where the embedder is a server and fails."""
        examples = _nearest(examples)
        members = _members(request, examples)
        details = await embedder.embed([f"{m.detail.description}. {m.detail.question}" for m in members])
        topics = await embedder.embed([m.topic for m in members])
        cosines = (details @ details.T + topics @ topics.T) / 2
        same = np.asarray(1 / (1 + np.exp((_HALF_SURE - cosines) / _SLOPE)), np.float32)
        return cls(members, topics, same, bag(request), shared_stems(examples))

    def concern(self, row: int, score: float) -> Concern:
        """The concern that asking for member `row` is."""
        likeness = self.same[row]
        order = np.argsort(-likeness, kind="stable")
        near = order[likeness[order] >= _ALIKE].tolist()
        members = tuple(self.members[i] for i in [row, *(i for i in near if i != row)])
        return Concern(members, self.topics[row], score, self.said, self.shared)


def _nearest(examples: Sequence[Example]) -> list[Example]:
    ordered = sorted(examples, key=lambda example: -example.similarity)
    shipped = [example for example in ordered if example.origin == "shipped"]
    learned = [example for example in ordered if example.origin != "shipped"]
    return shipped[:_NEAREST] + learned[:_NEAREST_LEARNED]


def _members(request: str, examples: Sequence[Example]) -> tuple[Member, ...]:
    """Every askable detail, heaviest first."""
    said = bag(request)
    common = _common(examples)
    members = []
    for example in examples:
        source = bag(example.text or "")
        foreign = (source - said - common) | (names(example.text or "") - said)
        for detail in example.details:
            if phrase := topic(detail.description, foreign):
                weight = example.similarity**_SHARPNESS * detail.importance * example.weight
                members.append(Member(detail, example, weight, phrase, foreign))
    return tuple(sorted(members, key=lambda member: -member.weight))


def _common(examples: Sequence[Example]) -> frozenset[str]:
    """Stems that some detail uses where its own request does not: they belong to no one request."""
    strays = (bag(d.description) - bag(e.text or "") for e in examples for d in e.details)
    return frozenset().union(*strays)
