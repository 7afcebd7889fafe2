"""The one order in which the wrappers stand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.clients.embedding.base import Embedder
from app.clients.embedding.wordless import WordlessEmbedder
from app.clients.slm.base import SLMClient
from app.clients.slm.wrappers.breaker import Breaker
from app.clients.slm.wrappers.fallback import Fallback
from app.clients.slm.wrappers.limited import Limited
from app.clients.slm.wrappers.measured import Measured
from app.clients.slm.wrappers.retrying import Retrying
from app.clients.slm.wrappers.sieve import Sieve
from app.metrics import BackendMetrics


@dataclass(frozen=True, slots=True)
class BackendLimits:
    """How far a backend is leaned on."""

    at_once: int = 8
    waiting: int = 64
    attempts: int = 2
    failures: int = 3
    rest: float = 5.0
    """Seconds."""


def compose(
    backend: SLMClient | None,
    local: SLMClient,
    metrics: BackendMetrics,
    limits: BackendLimits | None = None,
    embedder: Embedder | None = None,
    missed: Callable[[str], None] | None = None,
) -> SLMClient:
    """`backend` behind its limits and before `local`; `local` alone, measured, where there is none.

    `embedder` tells which of the backend's questions are answered already; without it words alone do.
    `missed` is told of every adapter that the backend did not know.

    The limits are the backend's own, so that a hung one never holds up `local`. Retries are inside the
    breaker: one task that failed is one failure, however often it was tried.
    """
    if backend is None:
        return Measured(local, metrics, "answer")
    limits = limits or BackendLimits()
    guarded = Breaker(Retrying(backend, attempts=limits.attempts), failures=limits.failures, rest=limits.rest)
    limited = Limited(guarded, at_once=limits.at_once, waiting=limits.waiting)
    sieved = Sieve(Measured(limited, metrics, "backend"), embedder or WordlessEmbedder())
    return Measured(Fallback(sieved, local, missed=missed), metrics, "answer")
