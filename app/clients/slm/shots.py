"""Playbook examples as turns of the chat: a request, and the answer that was right for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from app.clients.slm.quoting import Budget, quoted
from app.models import Detail, Example
from app.tokens import estimate

MOST_SHOTS = 3
_TURN = 10
"""Tokens that a chat template puts round a pair of turns."""

Shots = tuple[Mapping[str, str], ...]


def question_shots(
    examples: Sequence[Example], request: str, count: int, room: Budget
) -> tuple[Shots, list[str]]:
    """Two or three vague examples as question and answer, the best last, and what other examples left open.

    An example without its request, for it belongs to someone else, gives only the names of its details.
    """
    usable = [one for one in examples if one.vague and one.details and not _same(one.text, request)]
    chosen: list[tuple[str, str]] = []
    told = [one for one in usable if one.text is not None]
    for example in sorted(told, key=_worth, reverse=True)[:MOST_SHOTS]:
        asked, answered, cost = _question_pair(example.text, example.details, count)
        if _pay(cost, min(450, room.left // 2), room):
            chosen.append((asked, answered))
    names = (d.description for one in usable if one.text is None for d in _foremost(one.details, count))
    return _turns(reversed(chosen)), room.lines(dict.fromkeys(names), 120, 20)


def clarity_shots(
    examples: Sequence[Example], request: str, room: Budget
) -> tuple[tuple[Mapping[str, object], bool], ...]:
    """Up to two clear and two vague examples in turn, each with whether it is clear."""
    told = [one for one in examples if one.text is not None and not _same(one.text, request)]
    clear = sorted((one for one in told if not one.vague), key=_worth, reverse=True)[:2]
    vague = sorted((one for one in told if one.vague), key=_worth, reverse=True)[:2]
    pairs = [example for pair in zip(clear, vague, strict=False) for example in pair]
    return tuple(
        ({"request": example.text}, not example.vague)
        for example in pairs
        if _pay(estimate(f"{example.text}yes"), 150, room)
    )


@lru_cache(maxsize=2_048)
def _question_pair(text: str | None, details: tuple[Detail, ...], count: int) -> tuple[str, str, int]:
    """What was asked, what was answered, and the tokens of both; the same entries come again and again."""
    foremost = _foremost(details, count)
    asked = quoted({"count": len(foremost), "request": text})
    answered = json.dumps({"hypotheses": [_item(detail) for detail in foremost]}, ensure_ascii=False)
    return asked, answered, estimate(asked + answered)


def _item(detail: Detail) -> Mapping[str, object]:
    return {
        "detail": detail.description,
        "question": detail.question,
        "statement": f"The request does not say: {detail.description[:1].lower()}{detail.description[1:]}.",
        "importance": min(3, max(1, round(detail.importance))),
        "options": list(detail.options[:4]),
    }


def _foremost(details: Sequence[Detail], count: int) -> list[Detail]:
    return sorted(details, key=lambda detail: -detail.importance)[:count]


def _worth(example: Example) -> float:
    return example.similarity * example.weight


def _same(text: str | None, request: str) -> bool:
    """An example must never show the model the request it is asked about."""
    return text is not None and " ".join(text.split()).casefold() == " ".join(request.split()).casefold()


def _pay(cost: int, share: int, room: Budget) -> bool:
    """Whether `cost` tokens and a turn's signs fit into the share; if so, they are paid."""
    if cost + _TURN > min(share, room.left):
        return False
    room.left -= cost + _TURN
    return True


def _turns(pairs: Iterable[tuple[str, str]]) -> Shots:
    turns: list[Mapping[str, str]] = []
    for asked, answered in pairs:
        turns += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    return tuple(turns)
