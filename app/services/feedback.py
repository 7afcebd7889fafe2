"""What a judgement may speak of, and what it says of the user: pure, for the learner."""

from __future__ import annotations

from typing import Any

from app.errors import InvalidInput
from app.models import Feedback, Interaction, Selection
from app.services.facets import Evidence

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


def evidence_of(said: Feedback, about: Interaction | None, picked: Selection | None) -> Evidence | None:
    """What the judgement teaches; None where it teaches the persona nothing.

    A correction is the user's own word and a facet of its own. A full rating (1 or -1) of an answer from
    which something was selected speaks for or against the facets that the selection taught.
    """
    if about is None:
        return None
    if said.correction is not None:
        return _evidence(said, about, about.input_text, said.correction)
    answer = None if picked is None else picked.option or picked.free_text
    if picked is None or answer is None or abs(said.rating) < 1:
        return None
    details = {one["id"]: one["detail"] for one in about.answer.get("hypotheses", [])}
    name = details.get(picked.hypothesis_id, about.input_text)
    return _evidence(said, about, name, answer, judges=about.id, against=said.rating < 0)


def same_again(said: Feedback, earlier: Feedback) -> bool:
    """Whether both say the same of the same request, so that it is learned once."""
    parts = ("request_id", "rating", "correction")
    return all(getattr(said, part) == getattr(earlier, part) for part in parts)


def _shown(about: Interaction | None) -> set[str]:
    if about is None:
        return set()
    items, name = _SHOWN[about.kind]
    return {str(item[name]) for item in about.answer.get(items, [])}


def _evidence(said: Feedback, about: Interaction, name: str, selected: str, **more: Any) -> Evidence:
    return Evidence(
        record_id=said.id,
        tenant=said.tenant,
        user_id=said.user_id,
        input_text=about.input_text,
        name=name,
        selected=selected,
        options=(),
        kind="feedback",
        at=said.created_at,
        **more,
    )
