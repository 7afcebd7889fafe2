"""The shadow phase: who may pass on to the users."""

from __future__ import annotations

from typing import Any

import pytest

from app.models import Confidence, Exposure, Hypothesis, Outcome
from app.services.shadowing import ShadowRules, compared, read
from tests.nouns import NOON

RULES = ShadowRules(comparisons=20, most_invalid=0.1)


def a_question(detail: str) -> Hypothesis:
    return Hypothesis("h", detail, f"Which {detail}?", "", 3, (), Confidence(0.5), "vllm")


def seen(count: int, took: float = 100.0, degraded: bool = False, **figures: Any) -> list[Outcome]:
    figure = {"valid": True, "agreement": 0.5, "milliseconds": 120.0} | figures
    exposure = Exposure("default", "x1", "r", "ann", "control", NOON, figure, degraded, took)
    silent: dict[str, Any] = {"selected": False, "none_fitted": False, "undone": False, "rating": None}
    return [Outcome(exposure, **silent)] * count


def test_answers_agree_where_they_ask_for_the_same_details() -> None:
    shown = [a_question("programming language"), a_question("deadline")]
    also = [a_question("Programming languages"), a_question("budget")]
    assert compared(shown, also, 12.345) == {"valid": True, "agreement": 0.5, "milliseconds": 12.35}
    assert compared([], also, 1.0)["agreement"] is None


@pytest.mark.parametrize("nothing", [None, []])
def test_no_answer_is_not_a_valid_one(nothing: list[Hypothesis] | None) -> None:
    assert compared([a_question("deadline")], nothing, 5.0)["valid"] is False


def test_it_waits_until_enough_is_compared() -> None:
    assert read([], RULES).verdict == "running"
    assert read(seen(19), RULES).verdict == "running"
    found = read(seen(20), RULES)
    assert (found.verdict, found.comparisons, found.valid, found.agreement) == ("canary", 20, 1.0, 0.5)
    assert (found.p50_ms, found.p50_ms_live) == (120.0, 100.0)


def test_what_can_no_longer_pass_is_stopped_at_once() -> None:
    assert read(seen(2, valid=False, agreement=None), RULES).verdict == "running"
    found = read(seen(3, valid=False, agreement=None), RULES)
    assert found.verdict == "roll back"
    assert "3 of 3" in found.reason


def test_too_slow_is_a_red_flag_and_other_questions_are_not() -> None:
    assert read(seen(20, milliseconds=201.0), RULES).verdict == "roll back"
    assert read(seen(20, milliseconds=200.0, agreement=0.0), RULES).verdict == "canary"


def test_the_live_answer_s_time_is_that_of_the_model() -> None:
    """Degraded answers come from `local`, in no time; they say nothing of what is live."""
    assert read(seen(20, took=1.0, degraded=True), RULES).verdict == "canary"


def test_exposures_of_the_canary_are_not_read() -> None:
    shown = Outcome(Exposure("default", "x1", "r", "ann", "control", NOON), True, False, False, None)
    assert read([shown], RULES).comparisons == 0
