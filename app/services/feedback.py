"""What a judgement may speak of, and when it says nothing new."""

from __future__ import annotations

from app.errors import InvalidInput
from app.models import Feedback, Interaction

_SHOWN = {"hypothesize": ("hypotheses", "id"), "search": ("results", "id"), "rank": ("ranking", "index")}
"""Of each kind of answer: where its list is, and by what an item of it is named."""


def check_marks(about: Interaction | None, useful: tuple[str, ...], not_useful: tuple[str, ...]) -> None:
    """Raises InvalidInput for a mark on what the request did not show, or for both marks on one thing.

    Marks name ids of hypotheses or memories, or indexes of candidates as strings.
    """
    if both := sorted(set(useful) & set(not_useful)):
        raise InvalidInput(f"{both} cannot be both useful and not useful")
    shown = _shown(about)
    if stray := sorted({*useful, *not_useful} - shown):
        where = "what that request showed" if about else "a request: send its request_id"
        raise InvalidInput(f"useful and not_useful must name {where}; these do not: {stray[:5]}")


def same_again(said: Feedback, earlier: Feedback) -> bool:
    """Whether both say the same of the same request, so that it is learned once."""
    parts = ("request_id", "rating", "correction")
    return all(getattr(said, part) == getattr(earlier, part) for part in parts)


def _shown(about: Interaction | None) -> set[str]:
    if about is None:
        return set()
    items, name = _SHOWN[about.kind]
    return {str(item[name]) for item in about.answer.get(items, [])}
