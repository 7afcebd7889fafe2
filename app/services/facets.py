"""How evidence becomes facets: a fold without clock or chance, so that folding again gives the same.

A facet opens at 0.6. A choice for it closes 40 % of what is missing to 1; a choice against it takes
35 %. At its third contradiction, or later, once its confidence is below 0.28, it is superseded: it
is closed, and the value chosen now opens in its place. Three contradictions running flip any facet,
however well confirmed; now and then one among many confirmations flips none.

What nobody speaks of fades: each record finds the confidence that age has left (`confidence_at`), and one
contradiction is enough for a facet that has lost half of it to age alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from app.models import Facet, FacetChange, Statement
from app.text import stems, words

FacetPair = tuple[Facet | None, Facet]
"""A facet before, None where it is new, and after."""
EvidenceKind = Literal["pick", "typed", "choice", "feedback", "undo"]

OPENING_CONFIDENCE = 0.6
_GAIN, _LOSS = 0.4, 0.35
_FLIP_COUNT, _FLIP_CONFIDENCE = 3, 0.28
HALF_LIFE_DAYS = 180
"""Half a year: long enough for what is asked once a season, short enough that last year's tool is asked
for again. What was picked once answers for 47 days, what is held to 0.9 for 152."""
_USER = "user"
"""The producer of what users state of themselves: it holds until they say otherwise."""
_MOST_REJECTED = 24
MOST_HELD = 200
"""Facets of one user that hold at once; every request reads them all."""
_LONGEST = 500
"""Characters kept of what a user wrote: a preference is a phrase."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing a user did, as stored: the fold reads nothing else."""

    record_id: str
    tenant: str
    user_id: str
    input_text: str
    name: str
    """The detail or question that was put."""
    selected: str
    """What was picked or typed; for an undo, what was taken back."""
    options: tuple[str, ...]
    kind: EvidenceKind
    at: datetime
    judges: str = ""
    """The record whose lesson a rating speaks of; "" for evidence that teaches something of its own."""
    against: bool = False
    """Of a rating: the lesson was wrong."""
    request_id: str = ""
    """Of an undo: the request for which the option was assumed."""

    def clipped(self) -> Evidence:
        """With every text at a length that a facet keeps."""
        return replace(
            self,
            input_text=self.input_text[:_LONGEST],
            name=self.name[:_LONGEST],
            selected=self.selected[:_LONGEST],
            options=tuple(option[:_LONGEST] for option in self.options),
        )

    @property
    def rejected(self) -> tuple[str, ...]:
        """What was offered beside it."""
        return tuple(option for option in self.options if not same_value(option, self.selected))


def known(facets: Sequence[Facet], record_ids: Collection[str]) -> bool:
    """Has one of these records been learned from already?"""
    told = (record for facet in facets for record in (*facet.evidence, *facet.counter_evidence))
    return any(record in record_ids for record in told)


def confidence_at(facet: Facet, at: datetime) -> float:
    """What age has left of the confidence: half after `HALF_LIFE_DAYS` without a record, by whole days.

    A closed facet stays as it was when it closed; a user's own word does not age.
    """
    if facet.producer == _USER:
        return facet.confidence
    days = max(0, ((facet.valid_to or at) - facet.last_seen).days)
    return float(facet.confidence * 0.5 ** (days / HALF_LIFE_DAYS))


def same_value(one: str, other: str) -> bool:
    """Equal but for case, punctuation, stop words and endings."""
    if words(one) == words(other):
        return one.strip() == other.strip() or bool(words(one))
    return bool(stems(one)) and stems(one) == stems(other)


def fold(about: Sequence[Facet], change: FacetChange, evidence: Evidence, producer: str) -> list[Facet]:
    """The facets to save, in one call, given those held `about` the same thing.

    A value that was chosen again is supported; one that was passed over is opposed. The new value
    opens unless an old one, still standing, holds its place.
    """
    if evidence.kind == "undo":
        return [_opposed(facet, evidence) for facet in about if _taken_back(facet, evidence)]
    supported = [facet for facet in about if same_value(facet.value, change.value)][:1]
    others = [facet for facet in about if not same_value(facet.value, change.value)]
    opposed = [_opposed(facet, evidence) for facet in others if _contradicts(facet, evidence)]
    if supported:
        return [_supported(supported[0], change.rejected, evidence), *opposed]
    if any(facet.valid_to is None for facet in opposed):
        return opposed
    return [*opposed, _opened(change, evidence, producer)]


def judged(held: Sequence[Facet], evidence: Evidence) -> list[Facet]:
    """The facets that the record `evidence.judges` taught, supported, or opposed where it is against."""
    taught = [facet for facet in held if evidence.judges in facet.evidence]
    if evidence.against:
        return [_opposed(facet, evidence) for facet in taught]
    return [_supported(facet, (), evidence) for facet in taught]


def stated(held: Sequence[Facet], said: Statement) -> list[FacetPair]:
    """What a user's own statement makes of the facets held: it ends those of that name, and opens its own."""
    named = [facet for facet in held if stems(facet.name) == stems(said.name)]
    closed: list[FacetPair] = [
        (facet, replace(facet, counter_evidence=(*facet.counter_evidence, said.id), valid_to=said.created_at))
        for facet in named
    ]
    if said.value is None:
        return closed
    opened = Facet(
        id=facet_id(said.tenant, said.user_id, said.id, said.name),
        name=said.name[:_LONGEST],
        value=said.value[:_LONGEST],
        rejected=(),
        confidence=1.0,
        evidence=(said.id,),
        counter_evidence=(),
        last_seen=said.created_at,
        valid_from=said.created_at,
        valid_to=None,
        producer=_USER,
    )
    return [*closed, (None, opened)]


def crowded_out(held: Sequence[Facet], at: datetime) -> list[Facet]:
    """Of more than `MOST_HELD` facets the least sure, the oldest first, closed to make room."""
    surplus = max(0, len(held) - MOST_HELD)
    ordered = sorted(held, key=lambda facet: (confidence_at(facet, at), facet.valid_from, facet.id))
    return [replace(facet, valid_to=at) for facet in ordered[:surplus]]


def _contradicts(facet: Facet, evidence: Evidence) -> bool:
    """An answer to the same question always does; a choice made elsewhere only among the options given."""
    if evidence.kind in {"pick", "typed"}:
        return True
    return any(same_value(facet.value, option) for option in evidence.rejected)


def _taken_back(facet: Facet, undo: Evidence) -> bool:
    """Not again where the user's other answer to that very request has spoken against it already."""
    return same_value(facet.value, undo.selected) and undo.request_id not in facet.counter_evidence


def _supported(facet: Facet, passed_over: Sequence[str], evidence: Evidence) -> Facet:
    rejected = dict.fromkeys((*facet.rejected, *passed_over))
    confidence = confidence_at(facet, evidence.at)
    return replace(
        facet,
        confidence=confidence + _GAIN * (1 - confidence),
        last_seen=max(facet.last_seen, evidence.at),
        evidence=(*facet.evidence, evidence.record_id),
        rejected=tuple(rejected)[-_MOST_REJECTED:],
    )


def _opposed(facet: Facet, evidence: Evidence) -> Facet:
    against = (*facet.counter_evidence, evidence.record_id)
    aged = confidence_at(facet, evidence.at)
    confidence = aged * (1 - _LOSS)
    doubted = len(against) >= _FLIP_COUNT or aged <= facet.confidence / 2
    flipped = doubted and confidence < _FLIP_CONFIDENCE
    return replace(
        facet,
        confidence=confidence,
        last_seen=max(facet.last_seen, evidence.at),
        counter_evidence=against,
        valid_to=evidence.at if flipped else facet.valid_to,
    )


def _opened(change: FacetChange, evidence: Evidence, producer: str) -> Facet:
    return Facet(
        id=facet_id(evidence.tenant, evidence.user_id, evidence.record_id, change.name),
        name=change.name,
        value=change.value,
        rejected=change.rejected[:_MOST_REJECTED],
        confidence=min(1.0, max(0.0, change.confidence)),
        evidence=(evidence.record_id,),
        counter_evidence=(),
        last_seen=evidence.at,
        valid_from=evidence.at,
        valid_to=None,
        producer=producer,
        context=evidence.input_text,
    )


def facet_id(*parts: str) -> str:
    """The same parts give the same id, so that folding twice writes the same rows."""
    return "fct_" + hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:24]
