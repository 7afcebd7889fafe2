"""The nouns of the service: frozen values without behaviour that needs the outside world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
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


AdapterState = Literal[
    "registered",
    "rejected",
    "gated",
    "loaded",
    "canary",
    "live",
    "retired",
    "rolled_back",
    "tainted",
]
"""registered: known; rejected, gated: what the gates said; loaded: on every replica; canary: some users;
live: all of them; retired: another took its place; rolled_back; tainted: trained on what was erased since."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SERVED: frozenset[AdapterState] = frozenset({"loaded", "canary", "live"})
"""The states in which every replica is to have the adapter."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter: an immutable directory under a name that is never used again."""

    name: str
    """`<task>-<first 12 hex digits of digest>`."""
    path: str
    base_model: str
    rank: int
    tenant: str = "default"
    task: str = "hypotheses"
    digest: str = ""
    """SHA-256 of the files that vLLM reads, hex."""
    state: AdapterState = "registered"
    created_at: datetime = EPOCH
    lineage: Mapping[str, Any] = field(default_factory=dict)
    """Job, recipe, dataset and its content hash, as the training run's card says."""
    gates: Mapping[str, Any] = field(default_factory=dict)
    """By gate: passed, figures, reason. Empty until it was judged."""


@dataclass(frozen=True, slots=True)
class AdapterMove:
    """An adapter went from one state to another."""

    name: str
    before: AdapterState
    after: AdapterState
    at: datetime
    reason: str


ExperimentPhase = Literal["shadow", "canary"]
Verdict = Literal["running", "promoted", "rolled_back", "futile", "stopped"]


@dataclass(frozen=True, slots=True)
class Experiment:
    """A candidate against what is live. The arm of a user is a hash of id and user, hence sticky."""

    id: str
    tenant: str
    task: str
    control: str | None
    """The adapter that is live; None: the base model."""
    candidate: str
    phase: ExperimentPhase
    share: float
    """0..1 of the users who get the candidate."""
    alpha: float
    """The chance of a false promotion, over the whole run."""
    verdict: Verdict
    reason: str
    started_at: datetime
    ended_at: datetime | None = None


ArmName = Literal["control", "candidate"]


@dataclass(frozen=True, slots=True)
class Exposure:
    """One request answered in an experiment; in the shadow phase the candidate's answer was not shown."""

    tenant: str
    experiment_id: str
    request_id: str
    user_id: str
    arm: ArmName
    at: datetime
    shadow: Mapping[str, Any] | None = None
    """In the shadow phase: how the answers compare (valid, agreement, milliseconds)."""
    degraded: bool = False
    milliseconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """An exposure with what its user made of it, as far as it is known by now."""

    exposure: Exposure
    selected: bool
    none_fitted: bool
    """The user answered "none of these"."""
    undone: bool
    rating: float | None


JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled", "lost"]


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """One run of a recipe in a process of its own."""

    id: str
    tenant: str
    task: str
    recipe: str
    config: Mapping[str, Any]
    status: JobStatus
    created_at: datetime
    directory: str
    """Script, config, log and progress stand here."""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    progress: Mapping[str, Any] = field(default_factory=dict)
    """step, steps, epoch, loss, eta_seconds, as last told."""
    adapter: str | None = None
    """The name under which the result was registered."""
    detail: str = ""
    """Why it failed, in one line."""
    cancel_asked: bool = False
