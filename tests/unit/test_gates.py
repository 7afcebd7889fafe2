"""The gates: what passes, what does not, and that chance alone does not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.services.gates import (
    Answered,
    Gate,
    GateReport,
    Scored,
    Spoken,
    better_offline,
    no_red_flags,
    quick_and_valid,
    serves_as_trained,
)

GOOD = '{"hypotheses": [{"detail": "language", "question": "Which language should it be in?"}]}'


def rows(nll: float, margin: float | None = None, count: int = 60, spread: float = 0.2) -> list[Scored]:
    noise = np.random.default_rng(1).normal(0, spread, count)
    return [Scored(f"user-{i % 20}", nll + float(noise[i]), margin) for i in range(count)]


def spoken(**changes: object) -> Spoken:
    given_ = {
        "prompt_ids": (1, 2, 3),
        "served_prompt_ids": (1, 2, 3),
        "logprobs": (-0.1, -0.2),
        "alone": (-0.12, -0.19),
        "in_batch": (-0.1, -0.22),
        "text": GOOD,
        "served_text": GOOD,
    }
    return Spoken(**(given_ | changes))  # type: ignore[arg-type]


def answered(text: str = GOOD, seconds: float = 1.0, *, valid: bool = True) -> Answered:
    return Answered(text, seconds, valid)


def test_a_better_candidate_passes_offline() -> None:
    live = rows(2.0, -1.0)
    candidate = [Scored(row.group, row.nll - 0.3, 1.0) for row in live]
    gate = better_offline(candidate, live)
    assert gate.passed
    assert gate.figures["nll_gain_low"] > 0  # type: ignore[operator]
    assert gate.figures["accuracy"] == 1


def test_a_candidate_that_only_copies_the_live_one_does_not() -> None:
    gate = better_offline(rows(2.0), rows(2.0))
    assert not gate.passed
    assert "NLL gain" in gate.reason


def test_likelier_picks_are_not_enough_where_rejected_answers_became_likelier_too() -> None:
    live = rows(2.0, 1.0)
    gate = better_offline([Scored(row.group, row.nll - 0.3, -1.0) for row in live], live)
    assert not gate.passed
    assert "picked-over-rejected" in gate.reason


def test_too_few_rows_are_no_proof() -> None:
    gate = better_offline(rows(1.0, count=5), rows(2.0, count=5))
    assert not gate.passed
    assert "20 are needed" in gate.reason


def test_many_rows_of_one_user_are_one_voice() -> None:
    live = [Scored("loud", 2.0) for _ in range(50)] + [Scored(f"u{i}", 2.0) for i in range(10)]
    candidate = [Scored("loud", 1.0) for _ in range(50)] + [Scored(f"u{i}", 2.4) for i in range(10)]
    assert not better_offline(candidate, live).passed


@pytest.mark.parametrize(("users", "rows_"), [(1, 40), (3, 40), (8, 40), (40, 40), (3, 120)])
def test_chance_passes_no_more_often_than_it_may(users: int, rows_: int) -> None:
    generator = np.random.default_rng(3)
    runs = 500
    passed = 0
    for seed in range(runs):
        live, candidate = (
            [Scored(f"u{i % users}", nll) for i, nll in enumerate(generator.normal(2, 0.5, rows_))]
            for _ in range(2)
        )
        passed += better_offline(candidate, live, seed).passed
    assert passed <= 24  # 2.5 % are expected on this side; 24 of 500 would be beaten once in 1,000 runs


def test_with_few_users_rows_are_resampled_and_it_is_said() -> None:
    def better(users: int, count: int) -> Gate:
        live = [Scored(f"u{i % users}", 2.0 + i / 100) for i in range(count)]
        return better_offline([Scored(row.group, row.nll - 0.3) for row in live], live)

    assert better(1, 32).passed
    assert [better(users, 40).figures["resampled"] for users in (1, 3, 8, 40)] == ["rows"] * 2 + ["users"] * 2
    few = better(1, 24)
    assert not few.passed
    assert "32 are needed" in few.reason


def test_the_interval_is_student_s_where_groups_are_few() -> None:
    values = np.random.default_rng(5).normal(0.0, 1.0, 8)
    live = [Scored(f"u{i % 8}", 2.0) for i in range(24)]
    candidate = [Scored(row.group, 2.0 - float(values[i % 8])) for i, row in enumerate(live)]
    figures = better_offline(candidate, live).figures
    half = 2.3646 * float(values.std(ddof=1)) / 8**0.5
    width = figures["nll_gain_high"] - figures["nll_gain_low"]  # type: ignore[operator]
    assert 0.85 < width / (2 * half) < 1.15


def test_the_same_tokens_and_probabilities_pass_parity() -> None:
    assert serves_as_trained([spoken()] * 3).passed


def test_another_template_is_told() -> None:
    gate = serves_as_trained([spoken(), spoken(served_prompt_ids=(1, 9, 3))])
    assert not gate.passed
    assert "chat template" in gate.reason


def test_drift_in_a_batch_alone_is_told() -> None:
    gate = serves_as_trained([spoken(in_batch=(-0.4, -0.2))])
    assert not gate.passed
    assert "in a batch" in gate.reason
    assert "alone" not in gate.reason


def test_missing_probabilities_are_no_parity_and_stay_json() -> None:
    gate = serves_as_trained([spoken(alone=(-0.1,))])
    assert not gate.passed
    json.dumps(GateReport((gate,)).body(), allow_nan=False)


def test_broken_json_and_slow_answers_do_not_pass() -> None:
    live = [answered()] * 10
    assert quick_and_valid([answered(seconds=1.1)] * 10, live).passed
    assert "valid JSON" in quick_and_valid([answered(valid=False)] * 10, live).reason
    assert "times the live" in quick_and_valid([answered(seconds=2.0)] * 10, live).reason


def test_red_flags() -> None:
    distinct = [answered(GOOD.replace("language", f"thing {i}")) for i in range(10)]
    assert no_red_flags(distinct).passed
    assert "empty" in no_red_flags([*distinct, answered(" ")]).reason
    assert "repeated" in no_red_flags([*distinct, answered("to be or " * 20)]).reason
    assert "over-long" in no_red_flags([*distinct, answered(" ".join(map(str, range(500))))]).reason
    assert "alike" in no_red_flags([answered()] * 10).reason


def test_nothing_measured_passes_nothing() -> None:
    gates = (better_offline([], []), serves_as_trained([]), quick_and_valid([], []), no_red_flags([]))
    assert not any(gate.passed for gate in gates)
    assert not GateReport(()).passed


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=4))
def test_a_report_passes_with_all_its_gates_and_names_those_that_failed(flags: list[bool]) -> None:
    gates = tuple(Gate(f"gate-{i}", flag, {}, "" if flag else "no") for i, flag in enumerate(flags))
    report = GateReport(gates)
    assert report.passed == all(flags)
    assert [part.split(":")[0] for part in report.reason.split("; ") if part] == [
        gate.name for gate in gates if not gate.passed
    ]
