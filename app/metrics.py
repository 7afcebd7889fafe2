"""Counters and histograms; knows nobody. They live in the registry that is handed in."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class BackendMetrics:
    """What was asked of backends; `seam` is `backend` (as configured) or `answer` (fallback included)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("seam", "backend", "task")
        self.requests = Counter(
            "embed_backend_requests",
            "Tasks by outcome: ok, or the slug of the error.",
            (*labels, "outcome"),
            registry=registry,
        )
        self.seconds = Histogram(
            "embed_backend_seconds",
            "Seconds a task took, failures included.",
            labels,
            buckets=_SECONDS,
            registry=registry,
        )
        self.tokens = Counter(
            "embed_backend_tokens",
            "Tokens by kind: prompt, cached, completion.",
            (*labels, "kind"),
            registry=registry,
        )
        self.fallbacks = Counter(
            "embed_backend_fallbacks",
            "Answers given by another backend, by reason.",
            ("backend", "reason"),
            registry=registry,
        )
