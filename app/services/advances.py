"""An answer that is assumed instead of asked for: how it is opened, shown and contradicted."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from app.models import Advance, Hypothesis, Interaction, Selection
from app.services.advance import Bound
from app.services.arranging import Occasion

_TOKEN_BYTES = 24


def assume(assumed: tuple[Hypothesis, str] | None, on: Occasion, seconds: float) -> Advance | None:
    """The advance of a request, to be undone within so many seconds under a token nobody can guess."""
    if assumed is None:
        return None
    hypothesis, option = assumed
    now = datetime.now(UTC)
    return Advance(
        token=secrets.token_urlsafe(_TOKEN_BYTES),
        tenant=on.tenant,
        user_id=on.user_id,
        request_id=on.request_id,
        hypothesis_id=hypothesis.id,
        option=option,
        created_at=now,
        expires_at=now + timedelta(seconds=seconds),
    )


def advance_body(
    advance: Advance | None, hypotheses: Sequence[Hypothesis], bound: Bound
) -> dict[str, Any] | None:
    """`auto_advance` of the contract."""
    if advance is None:
        return None
    detail = next(one.detail for one in hypotheses if one.id == advance.hypothesis_id)
    return {
        "hypothesis_id": advance.hypothesis_id,
        "option": advance.option,
        "assumption": f"{detail[:1].upper()}{detail[1:]}: {advance.option}.",
        "undo_token": advance.token,
        "undo_expires_at": advance.expires_at.isoformat(),
        "bound": {"alpha": bound.alpha, "delta": bound.delta, "labels": bound.labels},
    }


def token_of(asked: Interaction) -> str | None:
    """The token that was given with an answer."""
    advanced = asked.answer.get("auto_advance")
    return advanced["undo_token"] if advanced else None


def contradicts(said: Selection, advance: Advance) -> bool:
    """Did the user give the question that was assumed to be answered another answer?"""
    answer = said.option or said.free_text
    return said.hypothesis_id == advance.hypothesis_id and answer not in (None, advance.option)


def detail_of(asked: Interaction, advance: Advance) -> str:
    """What was assumed, as it was shown."""
    shown = asked.answer["hypotheses"]
    return next(str(one["detail"]) for one in shown if one["id"] == advance.hypothesis_id)
