"""What a user made of the questions of one request: wanted, passed over, refused."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from app.services.training import serving
from app.services.training.datasets import DatasetOptions, Unusable, sure
from app.services.training.records import Asked, Mark
from app.services.training.serving import Item


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a user made of the questions of one request, in the serving schema."""

    wanted: Item | None
    """The one picked or, where none fitted, typed."""
    liked: tuple[Item, ...]
    """Marked useful, and not the one above."""
    passed_over: tuple[Item, ...]
    """Shown above the one picked; all, where it was none of these."""
    refused: tuple[Item, ...]
    """Marked not useful, or assumed and taken back."""
    neutral: tuple[Item, ...]
    """Shown below the pick, or where nothing was picked."""
    shown: int
    records: tuple[str, ...]

    @property
    def good(self) -> tuple[Item, ...]:
        return (self.wanted, *self.liked) if self.wanted else self.liked

    @property
    def bad(self) -> tuple[Item, ...]:
        return (*self.passed_over, *self.refused)


def verdict_of(asked: Asked, options: DatasetOptions) -> Verdict:
    """Of the marks that are sure enough. Raises Unusable."""
    marks = _sure_marks(asked, options)
    shown = {one.get("id"): one for one in questions_shown(asked)}
    pick = next((mark.content for mark in reversed(asked.picks) if mark in marks), None)
    picked = pick.get("hypothesis_id") if pick else None
    if picked is not None and picked not in shown:
        raise Unusable("picked what was not shown")
    above = [*shown][: _place(pick, [*shown])]
    liked = _named(asked, marks, "useful") - {picked}
    undone = {mark.content.get("hypothesis_id") for mark in asked.undone if mark in marks}
    refused = (_named(asked, marks, "not_useful") | undone) - {picked} - liked
    judged = liked | refused | {picked}

    def told(identities: Collection[Any]) -> tuple[Item, ...]:
        items = (serving.item(one) for identity, one in shown.items() if identity in identities)
        return tuple(one for one in items if one)

    return Verdict(
        wanted=_typed(pick) if picked is None else serving.item(shown[picked]),
        liked=told(liked),
        passed_over=told({*above} - judged),
        refused=told(refused),
        neutral=told({*shown} - {*above} - judged),
        shown=len(shown),
        records=tuple(sorted(mark.record_id for mark in marks)),
    )


def questions_shown(asked: Asked) -> list[dict[str, Any]]:
    """In the order shown."""
    return [one for one in orjson.loads(asked.line["shown"] or "[]") if isinstance(one, dict)]


def _sure_marks(asked: Asked, options: DatasetOptions) -> list[Mark]:
    if not asked.marks:
        raise Unusable("nothing said of it")
    marks = [mark for mark in asked.marks if sure(mark, options)]
    if not marks:
        raise Unusable("label not sure enough")
    return marks


def _place(pick: Mapping[str, Any] | None, shown: list[Any]) -> int:
    """How many questions were seen and passed over before the pick: all, where it was none of these."""
    if pick is None:
        return 0
    picked = pick.get("hypothesis_id")
    return len(shown) if picked is None else shown.index(picked)


def _named(asked: Asked, marks: list[Mark], name: str) -> set[Any]:
    return {identity for mark in asked.judged if mark in marks for identity in mark.content.get(name) or ()}


def _typed(pick: Mapping[str, Any] | None) -> Item | None:
    return serving.typed_item(pick.get("free_text") or "") if pick else None
