"""Seam 1: tasks, the call they belong to, and what a backend answers.

A task is a frozen value that says what is wanted, not how it is prompted, so that rules and
language models are equals behind one interface.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, Protocol, TypeVar

from app.models import Adapter, Enrichment, Example, Facet, FacetChange, Hypothesis, Turn

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Lane(IntEnum):
    """Whose turn is first where work has to wait."""

    INTERACTIVE = 0
    BATCH = 1
    BACKGROUND = 2


@dataclass(frozen=True, slots=True)
class Call:
    """What belongs to this one call. Wrappers read it; nobody re-binds a client."""

    tenant: str = "default"
    request_id: str = ""
    deadline: float = field(default_factory=lambda: time.monotonic() + 30.0)
    """On time.monotonic(); it covers queueing, repair and all retries."""
    lane: Lane = Lane.INTERACTIVE
    adapter: str | None = None
    """Beats the adapter a client is bound to; the base model's own name asks for the base."""
    session_id: str | None = None
    adapter_required: bool = False
    """The caller named the adapter: where it is not to be had, UnknownAdapter reaches the caller."""

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.deadline - time.monotonic())


@dataclass(frozen=True, slots=True)
class Task(Generic[R_co]):
    """What is wanted of a backend; R_co is the type of the answer."""


@dataclass(frozen=True, slots=True)
class GenerateHypotheses(Task[list[Hypothesis]]):
    user_input: str
    context: Mapping[str, Any] = field(default_factory=dict)
    conversation: tuple[Turn, ...] = ()
    memories: tuple[str, ...] = ()
    facets: tuple[Facet, ...] = ()
    examples: tuple[Example, ...] = ()
    asked: tuple[str, ...] = ()
    """Questions put before in this thread; none of them is to be asked again."""
    count: int = 3


@dataclass(frozen=True, slots=True)
class JudgeClarity(Task[float]):
    """How clear is the request? 1: it can be done as it stands; 0: nothing can be done yet."""

    user_input: str
    context: Mapping[str, Any] = field(default_factory=dict)
    conversation: tuple[Turn, ...] = ()
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Summarize(Task[str]):
    text: str
    max_tokens: int = 128


@dataclass(frozen=True, slots=True)
class EnrichContext(Task[Enrichment]):
    user_input: str
    context: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FollowupQuestions(Task[list[str]]):
    context: Mapping[str, Any] = field(default_factory=dict)
    facets: tuple[Facet, ...] = ()
    examples: tuple[Example, ...] = ()
    count: int = 3


@dataclass(frozen=True, slots=True)
class ScoreRelevance(Task[list[float]]):
    """One relevance in 0..1 for each candidate, in the candidates' order."""

    query: str
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class UpdateFacets(Task[list[FacetChange]]):
    """What does this choice say of the user? `selected` came from `options` or was typed."""

    input_text: str
    selected: str
    options: tuple[str, ...] = ()
    facets: tuple[Facet, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    calls: int = 0
    """Requests sent to the backend for this answer, repairs and retries included."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cached_tokens + other.cached_tokens,
            self.calls + other.calls,
        )


@dataclass(frozen=True, slots=True)
class Completion(Generic[R_co]):
    """A backend's answer to a task."""

    value: R_co
    producer: str
    """local, http or vllm: who answered in the end."""
    model: str
    adapter: str | None = None
    usage: Usage = Usage()
    confidence: float | None = None
    """The backend's own raw score, where it has one."""
    messages: tuple[Mapping[str, str], ...] = ()
    """The prompt as rendered; empty where none was."""
    prompt_version: str = ""
    degraded: bool = False
    reason: str | None = None
    """Why another backend answered than the one configured."""
    milliseconds: float = field(default=0.0, compare=False)
    """What a limited backend took for it once its turn had come, retries included; 0: nobody measured."""

    @property
    def origin(self) -> dict[str, Any]:
        """Who answered, from which prompt, as records keep it."""
        return {
            "backend": self.producer,
            "model": self.model,
            "adapter": self.adapter,
            "prompt_version": self.prompt_version,
            "messages": [dict(message) for message in self.messages],
        }


@dataclass(frozen=True, slots=True)
class Health:
    ok: bool
    detail: str = ""
    model: str = ""
    version: str = ""
    adapters: tuple[str, ...] = ()


class SLMClient(Protocol):
    """A backend, or a wrapper around one."""

    name: str

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        """Do the task; raises BackendError, UnknownAdapter."""
        ...

    def stream(
        self, task: GenerateHypotheses, call: Call
    ) -> AsyncIterator[Hypothesis | Completion[list[Hypothesis]]]:
        """Each hypothesis as soon as it is complete, then the Completion, last."""
        ...

    async def ping(self) -> Health: ...

    async def aclose(self) -> None: ...


class AdapterHost(Protocol):
    """One vLLM replica, asked directly: never wrapped, never behind a router."""

    url: str

    async def ping(self) -> Health:
        """Its version and adapters; never raises BackendError."""
        ...

    async def load(self, adapter: Adapter) -> None: ...

    async def unload(self, name: str) -> None: ...

    async def loaded(self) -> list[str]: ...

    async def canary(self, name: str) -> None:
        """One token through the adapter; raises BackendError, UnknownAdapter where it does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class ProbedAnswer:
    """What a replica said to an examiner."""

    text: str
    seconds: float
    valid: bool
    """It is hypotheses as JSON, in the form that was asked for."""


class AdapterProbe(Protocol):
    """One vLLM replica, examined at temperature 0 in the name of an adapter; raises BackendError."""

    url: str

    async def prompt_ids(self, model: str, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        """The tokens that the server makes of a conversation, those that begin the answer included."""
        ...

    async def logprobs(self, model: str, prompt: Sequence[int], after: Sequence[int]) -> tuple[float, ...]:
        """Of each token of `after`, following `prompt`, in nats; -inf where the server finds it unlikely."""
        ...

    async def answer(
        self, model: str, messages: Sequence[Mapping[str, str]], most_tokens: int, count: int | None = None
    ) -> ProbedAnswer:
        """With `count`, held to the schema of so many hypotheses as in service; without, free."""
        ...

    async def aclose(self) -> None: ...
