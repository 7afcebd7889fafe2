"""What a model wrote becomes a value, or BackendAnswerInvalid: nothing half-right passes."""

from __future__ import annotations

import json
import math
import re
from typing import Any
from uuid import uuid4

from app.errors import BackendAnswerInvalid
from app.models import Confidence, Enrichment, FacetChange, Hypothesis

_WORD = re.compile(r"\w+")
_QUESTION_MARKS = "?？؟"
_LONGEST = 400
_LEVELS = ("beginner", "intermediate", "expert")


class HypothesisReader:
    """Takes the objects of an answer one by one; the same rules for whole answers and for streams."""

    def __init__(self, count: int, producer: str, asked: tuple[str, ...] = ()) -> None:
        self._count = count
        self._producer = producer
        self._seen = {_key(question) for question in asked}
        self.found: list[Hypothesis] = []

    def add(self, item: object) -> Hypothesis | None:
        """The hypothesis that `item` is; None where it asks nothing, asks it again or is one too many."""
        if len(self.found) == self._count or not isinstance(item, dict):
            return None
        question = _line(item.get("question"))
        detail = _line(item.get("detail")) or question.rstrip(_QUESTION_MARKS)
        keys = {_key(question), _key(detail)}
        if not _is_question(question) or keys & self._seen:
            return None
        self._seen |= keys
        hypothesis = self._hypothesis(item, detail, question)
        self.found.append(hypothesis)
        return hypothesis

    def _hypothesis(self, item: dict[str, Any], detail: str, question: str) -> Hypothesis:
        importance = min(3, max(1, round(_number(item.get("importance"), 2.0))))
        # A chat model has no score of its own for an item: it was told to put the weightiest first, so
        # its word on the weight, less a tenth for each place, orders as it meant to.
        raw = importance / 3 * 0.9 ** len(self.found)
        return Hypothesis(
            id=uuid4().hex,
            detail=detail,
            question=question,
            statement=_line(item.get("statement")) or f"The request does not say: {detail}.",
            importance=importance,
            options=tuple(_distinct(item.get("options"), 6)),
            confidence=Confidence(raw=round(raw, 4)),
            producer=self._producer,
        )


def hypotheses(text: str, reader: HypothesisReader) -> list[Hypothesis]:
    """At least one hypothesis."""
    for item in _items(decode(text), "hypotheses"):
        reader.add(item)
    if not reader.found:
        raise BackendAnswerInvalid("The answer held no question.")
    return reader.found


def questions(text: str, count: int) -> list[str]:
    """From one to `count` distinct questions."""
    found = [one for one in _distinct(_items(decode(text), "questions"), count) if _is_question(one)]
    if not found:
        raise BackendAnswerInvalid("The answer held no question.")
    return found


def enrichment(text: str) -> Enrichment:
    """Never empty in all its parts."""
    body = _mapping(decode(text))
    level = _line(body.get("expertise_level")).lower()
    goals = tuple(_distinct(body.get("implicit_goals"), 3))
    steps = tuple(_distinct(body.get("next_steps"), 3))
    if not goals and not steps and level not in _LEVELS:
        raise BackendAnswerInvalid("The answer says nothing of the request.")
    return Enrichment(goals, level if level in _LEVELS else "unknown", steps)


def facet_changes(text: str, selected: str, options: tuple[str, ...]) -> list[FacetChange]:
    """Possibly none: not every selection tells something lasting."""
    rejected = tuple(option for option in options if option != selected)
    changes = []
    for item in _items(decode(text), "facets"):
        if not isinstance(item, dict):
            continue
        name, value = _line(item.get("name")), _line(item.get("value"))
        if name and value:
            confidence = min(1.0, max(0.0, _number(item.get("confidence"), 0.6)))
            changes.append(FacetChange(name, value, rejected, confidence))
    return changes


def ratings(text: str, count: int) -> list[float]:
    """`count` numbers in 0..1, from whole numbers in 0..10."""
    found = [_number(item, math.nan) for item in _items(decode(text), "ratings")]
    if len(found) != count or any(math.isnan(value) for value in found):
        raise BackendAnswerInvalid(f"The answer rates {len(found)} items of {count}.")
    return [min(1.0, max(0.0, value / 10)) for value in found]


def decode(text: str) -> Any:
    """The first JSON value in `text`, whatever words or fences stand round it."""
    starts = [at for at in (text.find("{"), text.find("[")) if at >= 0]
    if not starts:
        raise BackendAnswerInvalid("The answer is empty." if not text.strip() else "The answer is not JSON.")
    try:
        return json.JSONDecoder(strict=False).raw_decode(text, min(starts))[0]
    except (ValueError, RecursionError) as error:
        raise BackendAnswerInvalid("The answer is not valid JSON.") from error


def _items(body: Any, key: str) -> list[Any]:
    items = body if isinstance(body, list) else _mapping(body).get(key)
    if not isinstance(items, list):
        raise BackendAnswerInvalid(f"The answer has no list `{key}`.")
    return items


def _mapping(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise BackendAnswerInvalid("The answer is not a JSON object.")
    return body


def _line(value: object) -> str:
    return " ".join(value.split())[:_LONGEST] if isinstance(value, str) else ""


def _is_question(text: str) -> bool:
    return any(mark in text for mark in _QUESTION_MARKS) and _WORD.search(text) is not None


def _distinct(value: object, most: int) -> list[str]:
    lines = map(_line, value) if isinstance(value, list) else ()
    return list({line.casefold(): line for line in lines if _WORD.search(line)}.values())[:most]


def _number(value: object, default: float) -> float:
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if fits else default  # type: ignore[arg-type]


def _key(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold()))
