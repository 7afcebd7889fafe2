"""The nouns of a request and of what is learned from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Origin = Literal["shipped", "tenant", "user"]
InteractionKind = Literal["hypothesize", "search", "rank"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation, as the caller sent it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Detail:
    """One thing that a request can leave open, and how it has been asked before."""

    description: str
    question: str
    importance: float
    """1 (nice to know) to 3 (nothing can be done without it)."""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A playbook entry that resembles a request."""

    id: str
    similarity: float
    """0..1, by which the entry was chosen."""
    text: str | None
    """The request the entry came from; None where it belongs to another user."""
    vague: bool
    details: tuple[Detail, ...]
    origin: Origin = "shipped"
    weight: float = 1.0
    """What history says of the entry: above 1 when picked, towards 0 when skipped."""


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure, and by whose word. `calibrated` is None until enough labels exist."""

    raw: float
    calibrated: float | None = None
    labels: int = 0
    method: str = "uncalibrated"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A guess at what is missing, with the question that would settle it."""

    id: str
    detail: str
    question: str
    statement: str
    importance: int
    options: tuple[str, ...]
    confidence: Confidence
    producer: str


@dataclass(frozen=True, slots=True)
class Facet:
    """One thing known of a user, with the ids of the records that speak for and against it."""

    id: str
    name: str
    """What it is about: a detail ("programming language") or the question that was put."""
    value: str
    """What the user picked, typed or confirmed."""
    rejected: tuple[str, ...]
    """What was offered beside it and not picked."""
    confidence: float
    evidence: tuple[str, ...]
    counter_evidence: tuple[str, ...]
    last_seen: datetime
    """When the last of those records was said; `confidence` is as of then."""
    valid_from: datetime
    valid_to: datetime | None
    producer: str
    context: str = ""
    """The request in which it was learned, in this user's own words."""


@dataclass(frozen=True, slots=True)
class Memory:
    """A text that a caller asked to be remembered about a user."""

    id: str
    text: str
    external_id: str | None
    thread: str | None
    position: int | None
    kind: str
    importance: float
    created_at: datetime
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RankedMemory:
    """A memory with its fused score and the parts the score is made of."""

    memory: Memory
    score: float
    scores: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class RankedText:
    """A candidate of POST /v1/rank: its place in the caller's list, its text, its score."""

    index: int
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What the request seems to imply beyond its words."""

    implicit_goals: tuple[str, ...] = ()
    expertise_level: str = "unknown"
    next_steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FacetChange:
    """A facet that a piece of evidence supports, as a backend or a heuristic read it."""

    name: str
    value: str
    rejected: tuple[str, ...] = ()
    confidence: float = 0.6


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read out of a record where reading it anew could give something else."""

    producer: str
    changes: tuple[FacetChange, ...]
    by_words: bool = False
    """The embedder was away: facets were compared with it by their words alone."""


@dataclass(frozen=True, slots=True)
class Interaction:
    """One answered request: the row everything else is folded from.

    `answer` is the JSON body as shown, in the order shown; `record` is what training needs and no
    caller sees: rendered messages, prompt version, candidates with features, propensities.
    """

    id: str
    tenant: str
    user_id: str
    kind: InteractionKind
    session_id: str
    round: int
    created_at: datetime
    input_text: str
    answer: Mapping[str, Any]
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Selection:
    """What a user did with the hypotheses of one request. `hypothesis_id` None: none of these."""

    request_id: str
    tenant: str
    user_id: str
    hypothesis_id: str | None
    option: str | None
    free_text: str | None
    created_at: datetime
    outcome: Mapping[str, Any] | None = None
    """The answer given, stored so that the same selection sent twice is answered alike."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice among options that the user made elsewhere."""

    id: str
    tenant: str
    user_id: str
    input_text: str
    options: tuple[str, ...]
    selected: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Feedback:
    """A judgement of an answer; joined to it by `request_id`, however late it comes."""

    id: str
    tenant: str
    user_id: str
    request_id: str | None
    rating: float
    comment: str | None
    correction: str | None
    useful: tuple[str, ...]
    not_useful: tuple[str, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Statement:
    """What users say of themselves; it stands at once."""

    id: str
    tenant: str
    user_id: str
    name: str
    """What it is about, as in a facet."""
    value: str | None
    """None: what was known of it holds no longer."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PlaybookEdit:
    """What a person said of a learned playbook entry: its weight from now on; 0 keeps it from all answers."""

    id: str
    tenant: str
    user_id: str
    """Whose entry it is; "" for an entry of the tenant's."""
    entry_id: str
    weight: float | None
    """None: the entry is taken off the shelf."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Advance:
    """An option that was assumed instead of asked for, and what became of it."""

    token: str
    """Names it; who knows it may take the assumption back."""
    tenant: str
    user_id: str
    request_id: str
    hypothesis_id: str
    option: str
    created_at: datetime
    expires_at: datetime
    outcome: Literal["undone", "silent"] | None = None
    settled_at: datetime | None = None
