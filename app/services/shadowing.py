"""The shadow phase: a candidate answers beside what is live, and nobody sees it.

It shows what needs no users: whether the answers are valid, how long they take, how far they agree.
Agreement is told and not judged, for a better candidate asks something else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from app.models import Hypothesis, Outcome
from app.text import stems

Verdict = Literal["running", "canary", "roll back"]


@dataclass(frozen=True, slots=True)
class ShadowRules:
    comparisons: int = 50
    """So many answers are compared before anybody sees one."""
    most_invalid: float = 0.1
    """The share of them that may be no answer at all."""
    times_slower: float = 2.0
    """The candidate's median may take so many times the live one's."""
    most_days: float = 7.0
    """Then it is given up: its tenant asks too little, or it never loads, and others wait."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """What the comparisons say so far."""

    comparisons: int
    valid: float | None
    agreement: float | None
    """Mean share of the shown questions that the candidate asks too, over valid answers."""
    p50_ms: float | None
    p50_ms_live: float | None
    verdict: Verdict
    reason: str


def compared(
    shown: Sequence[Hypothesis], candidate: Sequence[Hypothesis] | None, milliseconds: float
) -> Mapping[str, Any]:
    """For Exposure.shadow; `candidate` None: it failed, or gave no valid answer.

    `milliseconds`: what its model took, measured as Exposure.milliseconds is.
    """
    if not candidate:
        return {"valid": False, "agreement": None, "milliseconds": round(milliseconds, 2)}
    asked, others = _about(shown), _about(candidate)
    agreement = len(asked & others) / len(asked) if asked else None
    return {"valid": True, "agreement": agreement, "milliseconds": round(milliseconds, 2)}


def read(outcomes: Sequence[Outcome], rules: ShadowRules) -> Shadow:
    """A candidate that can no longer pass is stopped at once; the others when all is compared."""
    seen = [one.exposure for one in outcomes if one.exposure.shadow is not None]
    figures = [one.shadow for one in seen if one.shadow is not None]
    valid = [figure for figure in figures if figure["valid"]]
    agreed = [figure["agreement"] for figure in valid if figure["agreement"] is not None]
    takes = _median([figure["milliseconds"] for figure in valid])
    took = _median([one.milliseconds for one in seen if not one.degraded])
    verdict, reason = _judge(len(figures), len(figures) - len(valid), takes, took, rules)
    return Shadow(
        comparisons=len(figures),
        valid=len(valid) / len(figures) if figures else None,
        agreement=float(np.mean(agreed)) if agreed else None,
        p50_ms=takes,
        p50_ms_live=took,
        verdict=verdict,
        reason=reason,
    )


def _judge(
    compared_: int, invalid: int, takes: float | None, took: float | None, rules: ShadowRules
) -> tuple[Verdict, str]:
    if invalid > rules.most_invalid * max(compared_, rules.comparisons):
        return "roll back", f"{invalid} of {compared_} answers in the shadow were not valid"
    if compared_ < rules.comparisons:
        return "running", f"{compared_} of {rules.comparisons} answers compared"
    if takes is not None and took is not None and takes > rules.times_slower * took:
        return "roll back", f"its median answer takes {takes:.0f} ms, the live one's {took:.0f} ms"
    return "canary", f"{compared_} answers compared, {invalid} not valid"


def _about(hypotheses: Sequence[Hypothesis]) -> set[frozenset[str]]:
    return {frozenset(stems(one.detail)) for one in hypotheses}


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None
