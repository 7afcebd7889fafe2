"""What goes into a prompt besides the request: bounded in tokens, summarised where it is over."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.clients.slm.base import Call, SLMClient, Summarize
from app.models import Turn
from app.tokens import estimate as tokens

_LONGEST_SUMMARISED = 24_000
"""Characters; what is beyond is not read, so that no prompt grows with what a caller sends."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The caller's context and conversation as a prompt will show them."""

    context: Mapping[str, Any]
    conversation: tuple[Turn, ...]
    tokens: int
    calls: int = 0
    """Backend calls that fitting it took."""


async def fit(
    context: Mapping[str, Any], conversation: tuple[Turn, ...], budget: int, slm: SLMClient, call: Call
) -> Fitted:
    """Both within `budget` tokens: the last turns stay as they are, the rest is summarised."""
    spoken = sum(tokens(turn.content) + 4 for turn in conversation)
    given = tokens(_text(context)) if context else 0
    if spoken + given <= budget:
        return Fitted(context, conversation, spoken + given)
    recent, older = _split(conversation, budget // 2)
    long = "\n".join(
        ([_text(context)] if context else []) + [f"{turn.role}: {turn.content}" for turn in older]
    )
    done = await slm.run(Summarize(long[-_LONGEST_SUMMARISED:], max(32, budget // 3)), call)
    kept = sum(tokens(turn.content) + 4 for turn in recent)
    return Fitted({"summary": done.value}, recent, kept + tokens(done.value), done.usage.calls)


def _split(conversation: tuple[Turn, ...], budget: int) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    spent, first = 0, len(conversation)
    while first > 0 and spent + tokens(conversation[first - 1].content) + 4 <= budget:
        first -= 1
        spent += tokens(conversation[first].content) + 4
    return conversation[first:], conversation[:first]


def _text(context: Mapping[str, Any]) -> str:
    return json.dumps(context, ensure_ascii=False, default=str)
