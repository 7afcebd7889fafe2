"""What a model is asked and how it is to answer, to the letter as it is served.

The one service file that reads the room of prompts: what is trained on must be what is served, so neither
wording nor form of an answer is said a second time here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.clients.slm import schemas
from app.clients.slm.base import GenerateHypotheses, ScoreRelevance, UpdateFacets
from app.clients.slm.decisions import NO, YES, relevance
from app.clients.slm.prompts import PROMPT_VERSION, render
from app.clients.slm.quoting import quoted
from app.clients.slm.rules.asked_for import asked_for
from app.clients.slm.rules.language import is_english
from app.clients.slm.rules.wording import ask
from app.text import words

__all__ = [
    "PROMPT_VERSION",
    "Messages",
    "answer",
    "facets_answer",
    "facets_prompt",
    "hypotheses_answer",
    "hypotheses_prompt",
    "item",
    "relevance_answer",
    "relevance_prompt",
    "typed_item",
    "with_count",
    "with_shots",
]

Messages = tuple[Mapping[str, str], ...]
Item = dict[str, Any]

_PARTS: Mapping[str, Any] = schemas.hypotheses(1)["properties"]["hypotheses"]["items"]["properties"]
_QUESTION = re.compile(_PARTS["question"]["pattern"])
_LEAST_OPTIONS, _MOST_OPTIONS = _PARTS["options"]["minItems"], _PARTS["options"]["maxItems"]
_BARE_WORDS = 6
"""Typed words up to so many may name a detail; more of them are something else than a question missed."""
_UNKNOWN_OPTIONS = ("No preference", "Something else")
"""Where nobody knows a likely answer, and the schema wants two."""


def hypotheses_prompt(user_input: str, count: int) -> Messages:
    """Of a record that kept no prompt: the request alone."""
    return _plain(render(GenerateHypotheses(user_input=user_input, count=count)).messages)


def hypotheses_answer(items: Sequence[Item]) -> str:
    """As the examples in the prompt write it."""
    return json.dumps({"hypotheses": list(items)}, ensure_ascii=False)


def item(shown: Mapping[str, Any]) -> Item | None:
    """A question as shown, in the serving schema; None where the grammar would not let it through."""
    question, detail = _line(shown.get("question")), _line(shown.get("detail"))
    options = [_line(option) for option in shown.get("options") or ()]
    options = [one for one in dict.fromkeys(options) if 0 < len(one) <= _longest("options")][:_MOST_OPTIONS]
    if len(options) < _LEAST_OPTIONS and is_english(question):
        options = list(_UNKNOWN_OPTIONS)
    if not _QUESTION.fullmatch(question) or not detail or len(options) < _LEAST_OPTIONS:
        return None
    statement = _line(shown.get("statement")) or f"The request does not say: {detail}."
    return {
        "detail": _cut(detail, _longest("detail")),
        "question": question,
        "statement": _cut(statement, _longest("statement")),
        "importance": _importance(shown.get("importance")),
        "options": options,
    }


def typed_item(text: str) -> Item | None:
    """What was typed where no question fitted, as the question that was missed; None where it names none."""
    typed = _line(text)
    if not words(typed):
        return None
    if typed.endswith("?"):
        return item({"detail": asked_for(typed) or typed.rstrip("?"), "question": typed, "importance": 3})
    if len(typed.split()) > _BARE_WORDS or not is_english(typed):
        return None
    return item({"detail": typed, "question": ask(typed), "importance": 3})


def with_count(messages: Messages, count: int) -> Messages:
    """The same prompt, asking for `count` items; as it is where it does not say how many."""
    try:
        data = json.loads(messages[-1]["content"])
    except ValueError:
        return messages
    if not isinstance(data, dict) or data.get("count", count) == count:
        return messages
    return (*messages[:-1], {"role": "user", "content": quoted({**data, "count": count})})


def with_shots(messages: Messages, most: int | None) -> Messages:
    """The same prompt with the last, nearest `most` of its examples; as it is where None."""
    if most is None:
        return messages
    shots = messages[1:-1]
    return (messages[0], *shots[max(0, len(shots) - 2 * most) :], messages[-1]) if shots else messages


def facets_prompt(input_text: str, selected: str, options: Sequence[str]) -> Messages:
    return _plain(render(UpdateFacets(input_text, selected, tuple(options))).messages)


def facets_answer(changes: Sequence[tuple[str, str, float]]) -> str:
    """(name, value, confidence) of each facet."""
    facets = [
        {"name": name, "value": value, "confidence": round(confidence, 2)}
        for name, value, confidence in changes
    ]
    return json.dumps({"facets": facets}, ensure_ascii=False)


def relevance_prompt(query: str, text: str) -> Messages:
    decision = relevance(ScoreRelevance(query, (text,)))
    return _plain(decision.chat(decision.items[0]))


def relevance_answer(helps: bool) -> str:
    return YES if helps else NO


def answer(content: str) -> list[dict[str, str]]:
    """The assistant's turn."""
    return [{"role": "assistant", "content": content}]


def _plain(messages: Sequence[Mapping[str, str]]) -> Messages:
    return tuple(dict(message) for message in messages)


def _longest(part: str) -> int:
    schema = _PARTS[part]
    return int((schema.get("items") or schema)["maxLength"])


def _line(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _cut(text: str, longest: int) -> str:
    """At the end of a word."""
    return text if len(text) <= longest else (text[:longest].rpartition(" ")[0] or text[:longest])


def _importance(value: object) -> int:
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    return min(3, max(1, round(value))) if fits else 2  # type: ignore[call-overload]
