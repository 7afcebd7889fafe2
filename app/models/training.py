"""The nouns of the training loop: adapters, experiments on them, and the jobs that train them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

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
    canary_since: datetime | None = None
    """When it went on to the users; None in the shadow phase."""


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
    """What the model that answered took, without its queue and without what else the answer needed."""


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
