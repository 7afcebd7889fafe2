"""The one question by which a concern is put: as it was asked before where that fits, else by its form."""

from __future__ import annotations

from collections.abc import Collection

from app.clients.slm.rules.bags import bag
from app.clients.slm.rules.concerns import Concern, Member
from app.clients.slm.rules.wording import ask, core, opening, reuse

_TRIED = 6
_PLAIN = 3
_LONG = 12
_NEAR = 0.5
_ANY_TOPIC = "do you have in mind?"
_USED = 0.05
"""What a question that a person once wrote is ahead of one made by rule,"""
_CLUMSY = 0.2
"""and what a rule loses on a topic of more than three words."""


def phrase(concern: Concern, taken: Collection[str]) -> tuple[str, Member]:
    """A question that begins otherwise than the openings in `taken`, if there is one, and whose it was.

    Where only the last of the forms fits the topic ("do you have in mind?"), its own question is better.
    """
    made = ask(concern.topic, taken)
    own = _own(concern) if made.endswith(_ANY_TOPIC) else None
    if own and opening(own) not in taken:
        return own, concern.members[0]
    used = {
        question: (_merit(question, concern) + _USED, member)
        for member in concern.members[:_TRIED]
        if (question := _as_before(concern, member)) and opening(question) not in taken
    }
    if used:
        best = max(used, key=lambda question: used[question][0])
        clumsy = _CLUMSY if len(concern.topic.split()) > _PLAIN else 0.0
        if opening(made) in taken or used[best][0] > _merit(made, concern) - clumsy:
            return best, used[best][1]
    return made, concern.members[0]


def _own(concern: Concern) -> str | None:
    """The short question of the one that is asked, in words of its topic or of a request much like this."""
    first = concern.members[0]
    question = reuse(first.detail.question, first.foreign)
    if question is None or len(question.split()) > _LONG:
        return None
    near = first.example.similarity >= _NEAR
    return question if near or concern.core & bag(question) else None


def _as_before(concern: Concern, member: Member) -> str | None:
    """The member's own question, where it speaks of the whole concern."""
    question = reuse(member.detail.question, member.foreign)
    return question if question and concern.core <= bag(question) else None


def _merit(question: str, concern: Concern) -> float:
    """How much of the question is about the concern, less for every word that makes it long."""
    content = core(question)
    focus = len(content & concern.core) / max(1, len(content))
    return focus - 0.05 * max(0, len(question.split()) - _LONG)
