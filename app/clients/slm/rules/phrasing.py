"""The one question by which a concern is put: as it was asked before where that fits, else by its form."""

from __future__ import annotations

from collections.abc import Collection

from app.clients.slm.rules.bags import bag
from app.clients.slm.rules.concerns import Concern, Member
from app.clients.slm.rules.wording import FORM_STEMS, ask, opening, reuse

_TRIED = 6
_LONG = 12
_USED = 0.05
"""What a question that a person once wrote is ahead of one made by rule,"""
_CLUMSY = 0.2
"""and what a rule loses on a topic of more than three words."""


def phrase(concern: Concern, taken: Collection[str]) -> str:
    """A question for the concern that begins otherwise than the openings in `taken`, if there is one."""
    before = [q for member in concern.members[:_TRIED] if (q := _as_before(concern, member))]
    fresh = [question for question in before if opening(question) not in taken]
    made = ask(concern.topic, taken)
    if opening(made) in taken and fresh:
        return fresh[0]
    used = {question: _merit(question, concern) + _USED for question in fresh}
    best = max(used, key=used.__getitem__, default=made)
    return (
        best
        if used.get(best, 0.0) > _merit(made, concern) - _CLUMSY * (len(concern.topic.split()) > 3)
        else made
    )


def _as_before(concern: Concern, member: Member) -> str | None:
    """The member's own question, where it speaks of the whole concern."""
    question = reuse(member.detail.question, member.foreign)
    return question if question and concern.core <= bag(question) else None


def _merit(question: str, concern: Concern) -> float:
    """How much of the question is about the concern, less for every word that makes it long."""
    content = bag(question) - FORM_STEMS
    focus = len(content & concern.core) / max(1, len(content))
    return focus - 0.05 * max(0, len(question.split()) - _LONG)
