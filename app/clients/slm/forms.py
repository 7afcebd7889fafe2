"""For each task that is answered in words: how the text that came back is read."""

from __future__ import annotations

from typing import Any

from app.clients.slm import parsing
from app.clients.slm.base import (
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    Summarize,
    Task,
    UpdateFacets,
)
from app.clients.slm.parsing import HypothesisReader
from app.errors import BackendAnswerInvalid, NotSupported


def read(task: Task[Any], text: str, producer: str) -> Any:
    """The value of `task` in `text`, of the task's own type; raises BackendAnswerInvalid."""
    match task:
        case GenerateHypotheses():
            return parsing.hypotheses(text, HypothesisReader(task.count, producer, task.asked))
        case EnrichContext():
            return parsing.enrichment(text)
        case FollowupQuestions():
            return parsing.questions(text, task.count)
        case UpdateFacets():
            return parsing.facet_changes(text, task.selected, task.options)
        case Summarize():
            return _said(text)
        case _:
            raise NotSupported(f"No prompt does {type(task).__name__}.")


def _said(text: str) -> str:
    if not text.strip():
        raise BackendAnswerInvalid("The answer is empty.")
    return text.strip()
