"""How answers are drawn, for each kind of task; every request states all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.clients.slm.base import (
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    JudgeClarity,
    ScoreRelevance,
    Summarize,
    Task,
    UpdateFacets,
)


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sent as they stand: a server's own defaults differ from model to model."""

    temperature: float = 0.0
    """0 or more; 0 takes the likeliest token."""
    top_p: float = 1.0
    """Above 0, at most 1."""
    max_tokens: int = 256
    """The longest answer, in tokens of the model."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_tokens < 1:
            raise ValueError(f"not a sampling: {self}")


SamplingTable = Mapping[type[Task[Any]], Sampling]

DEFAULT_SAMPLING: SamplingTable = {
    GenerateHypotheses: Sampling(0.2, 0.9, 640),
    JudgeClarity: Sampling(0.0, 1.0, 1),
    Summarize: Sampling(0.2, 0.9, 512),
    EnrichContext: Sampling(0.2, 0.9, 320),
    FollowupQuestions: Sampling(0.3, 0.9, 320),
    ScoreRelevance: Sampling(0.0, 1.0, 1),
    UpdateFacets: Sampling(0.0, 1.0, 256),
}
