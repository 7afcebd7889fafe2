"""Rule 1: confidence is null until calibrated, and every key earns its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.models import Confidence
from app.services.calibration import ENOUGH, CalibrationKey
from app.services.ledger import KEYS, ConfidenceLedger

KEY = CalibrationKey("acme", "vllm", "qwen", "acme-1", "p1", "s1")


def calibrated() -> ConfidenceLedger:
    ledger = ConfidenceLedger()
    for number in range(2 * ENOUGH):
        ledger.observe(KEY, 0.6, number % 4 == 0)
    return ledger


def test_a_new_key_says_nothing() -> None:
    assert ConfidenceLedger().confidence(KEY, 0.6) == Confidence(0.6, None, 0, "uncalibrated")


def test_labels_turn_a_raw_score_into_a_probability() -> None:
    said = calibrated().confidence(KEY, 0.6)
    assert said.calibrated == pytest.approx(0.25, abs=0.03)
    assert (said.raw, said.labels, said.method) == (0.6, 2 * ENOUGH, "beta, isotonic")


@pytest.mark.parametrize(
    "other",
    [
        replace(KEY, tenant="other"),
        replace(KEY, producer="local"),
        replace(KEY, model="llama"),
        replace(KEY, adapter="acme-2"),
        replace(KEY, adapter=None),
        replace(KEY, prompt_version="p2"),
        replace(KEY, scorer_version="s2"),
    ],
)
def test_whatever_changes_the_score_starts_with_no_labels(other: CalibrationKey) -> None:
    assert calibrated().confidence(other, 0.6) == Confidence(0.6, None, 0, "uncalibrated")


def test_reports_are_by_key_and_the_key_unlabelled_for_longest_goes_first() -> None:
    ledger = calibrated()
    for number in range(KEYS - 1):
        ledger.observe(replace(KEY, adapter=f"other-{number}"), 0.5, True)
    assert ledger.reports()[KEY].labels == ENOUGH
    ledger.observe(KEY, 0.6, True)
    ledger.observe(replace(KEY, adapter="one-more"), 0.5, True)
    assert KEY in ledger.reports()
    assert replace(KEY, adapter="other-0") not in ledger.reports()
    assert len(ledger.reports()) == KEYS
