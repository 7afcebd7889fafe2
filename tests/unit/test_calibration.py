"""Raw scores to probabilities: honest while labels are few, rising, the same after folding again."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.beta_curve import BetaCurve
from app.services.calibration import ENOUGH, ENOUGH_OF_EACH, WINDOW, Calibration
from app.services.reliability import reliability

Truth = Callable[[float], float]
TRUTHS: list[Truth] = [lambda r: r * r, lambda r: r**0.3, lambda r: 0.1 if r < 0.6 else 0.8]

unit = st.floats(0, 1)
labels = st.lists(st.tuples(unit, st.booleans(), st.sampled_from([1.0, 0.3])), max_size=200)


def folded(events: list[tuple[float, bool, float]]) -> Calibration:
    calibration = Calibration()
    for raw, label, weight in events:
        calibration.observe(raw, label, weight)
    return calibration


def stream(count: int, seed: int = 0) -> list[tuple[float, bool, float]]:
    """Right in a share of raw squared."""
    rng = random.Random(seed)
    return [(raw, rng.random() < raw * raw, 1.0) for raw in (rng.random() for _ in range(count))]


def test_nothing_is_said_before_there_are_labels_enough() -> None:
    calibration = folded(stream(ENOUGH - 1))
    assert calibration.probability(0.5) is None
    assert calibration.report().labels == 0
    calibration.observe(0.9, True)
    assert calibration.probability(0.5) is not None


def test_nothing_is_said_while_nearly_all_labels_agree() -> None:
    calibration = folded([(0.5, number < ENOUGH_OF_EACH - 1, 1.0) for number in range(4 * ENOUGH)])
    assert calibration.probability(0.5) is None


def test_silence_alone_opens_nothing_and_judges_nothing() -> None:
    weak = [(raw, label, 0.3) for raw, label, _ in stream(1000)]
    assert folded(weak).probability(0.5) is None
    opened = folded([*stream(ENOUGH), *weak])
    assert opened.labels == ENOUGH
    assert opened.report().labels == 0


@given(labels, st.lists(unit, min_size=2, max_size=8))
def test_a_higher_score_never_means_a_lower_probability(
    events: list[tuple[float, bool, float]], raws: list[float]
) -> None:
    calibration = folded([*stream(60), *events])
    said = [calibration.probability(raw) for raw in sorted(raws)]
    probabilities = [one for one in said if one is not None]
    assert len(probabilities) == len(raws)
    assert all(0 <= one <= 1 for one in probabilities)
    assert all(left <= right + 1e-12 for left, right in pairwise(probabilities))


@given(labels)
def test_folding_again_gives_the_same(events: list[tuple[float, bool, float]]) -> None:
    first, again = folded([*stream(55), *events]), folded([*stream(55), *events])
    assert [first.probability(raw / 7) for raw in range(8)] == [
        again.probability(raw / 7) for raw in range(8)
    ]
    assert first.report() == again.report()


def test_asking_teaches_nothing() -> None:
    asked, left = folded(stream(100)), folded(stream(100))
    for step in range(11):
        asked.probability(step / 10)
    for raw, label, weight in stream(100, seed=1):
        asked.observe(raw, label, weight)
        left.observe(raw, label, weight)
    assert asked.report() == left.report()


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize("seed", range(3))
def test_it_is_calibrated_after_five_hundred_labels(truth: Truth, seed: int) -> None:
    rng = random.Random(seed)
    calibration, said, came = Calibration(), [], []
    for number in range(2500):
        raw = rng.betavariate(2, 3)
        label = rng.random() < truth(raw)
        if number >= 500:
            said.append(calibration.probability(raw) or 0.0)
            came.append(label)
        calibration.observe(raw, label)
    report = reliability(said, came)
    assert report.ece is not None
    assert report.skill is not None
    assert report.ece <= 0.05
    assert report.skill > 0


def test_a_label_is_judged_by_what_was_said_before_it() -> None:
    """Labels that are the opposite of what was said last would look fine to who judges afterwards."""
    calibration = Calibration()
    for number in range(400):
        calibration.observe(number / 400, bool(random.Random(number).getrandbits(1)))
    report = calibration.report()
    assert report.skill is not None
    assert report.skill < 0.01


def test_what_is_kept_is_bounded_and_the_newest_count() -> None:
    calibration = folded([(0.5, number % 10 == 0, 1.0) for number in range(WINDOW)])
    for number in range(2 * WINDOW):
        calibration.observe(0.5, number % 10 != 0)
    assert calibration.probability(0.5) == pytest.approx(0.9, abs=0.02)
    assert calibration.labels == 3 * WINDOW
    assert calibration.report().labels == WINDOW


def test_equal_scores_have_the_share_that_was_true() -> None:
    calibration = folded([(0.4, number % 4 == 0, 1.0) for number in range(400)])
    assert calibration.probability(0.4) == pytest.approx(0.25, abs=0.01)


def test_the_curve_ignores_a_score_that_misleads() -> None:
    raw = np.linspace(0.05, 0.95, 200)
    curve = BetaCurve.fit(raw, (raw < 0.5).astype(float), np.ones(200))
    assert (curve.a, curve.b) == (0.0, 0.0)
    assert float(curve.at(np.array([0.2]))[0]) == pytest.approx(0.5, abs=0.01)


def test_the_base_rate_has_no_skill_and_truth_has_all() -> None:
    came = [number % 4 == 0 for number in range(400)]
    assert reliability([0.25] * 400, came).skill == pytest.approx(0.0)
    assert reliability([float(label) for label in came], came).skill == pytest.approx(1.0)
    assert reliability([1 - float(label) for label in came], came).ece == pytest.approx(1.0)


def test_nothing_judged_has_no_figures() -> None:
    assert reliability([], []).ece is None
    assert reliability([0.3], [True]).skill is None


@given(st.lists(st.tuples(unit, st.booleans()), min_size=1, max_size=700))
def test_bins_hold_every_prediction_once(pairs: list[tuple[float, bool]]) -> None:
    report = reliability([said for said, _ in pairs], [label for _, label in pairs])
    assert sum(one.labels for one in report.bins) == len(pairs)
    assert report.ece is not None
    assert 0 <= report.ece <= 1
    assert max(one.labels for one in report.bins) - min(one.labels for one in report.bins) <= 1


def test_faultless_probabilities_show_about_the_error_that_chance_allows() -> None:
    rng = np.random.default_rng(5)
    eces, expected = [], []
    for _ in range(40):
        said = rng.random(500)
        report = reliability(said.tolist(), (rng.random(500) < said).tolist())
        eces.append(report.ece or 0.0)
        expected.append(report.ece_by_chance or 0.0)
    assert np.mean(eces) == pytest.approx(np.mean(expected), rel=0.15)
