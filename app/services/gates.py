"""Whether a candidate adapter may answer users: figures in, a verdict with its reason out.

Four gates, each judged by itself, so that a refusal says all that is wrong at once.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEAST_ROWS = 20
"""Held-out rows below which no interval means anything."""
LEAST_VOICES = 8
"""Resampled as wholes: with fewer an interval over them says more than it knows."""
SURE = 0.95
_NORMAL = 1.959964
"""The quantile of the normal distribution that goes with SURE."""
_BLOCK = 4
"""Rows in a row, about two threads of two rounds: what is asked in one go is alike."""
_RESAMPLES = 2_000
MOST_DRIFT = 0.05
"""Nats by which trainer and server may differ on a token, on average."""
MOST_SLOWER = 1.25
"""A candidate's median answer may take so many times the live one's."""
LEAST_VALID = 0.95
MOST_FLAGGED = 0.05
_LONGEST_WORDS = 400
_REPEATS = 8
"""A JSON answer of five hypotheses says some words five times."""

Figures = Mapping[str, float | int | str | None]


@dataclass(frozen=True, slots=True)
class Gate:
    """One verdict. `reason` says in one line why it did not pass; "" where it did."""

    name: str
    passed: bool
    figures: Figures
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GateReport:
    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Every gate, and there was one."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)

    @property
    def reason(self) -> str:
        return "; ".join(f"{gate.name}: {gate.reason}" for gate in self.gates if not gate.passed)

    def body(self) -> dict[str, Any]:
        """By gate, JSON types only."""
        return {gate.name: asdict(gate) for gate in self.gates}


@dataclass(frozen=True, slots=True)
class Scored:
    """A held-out row as one model sees it."""

    group: str
    """Whose record it is: rows of one user are drawn together."""
    nll: float
    """Mean negative log-likelihood of the picked answer, nats a token."""
    margin: float | None = None
    """log p(picked) - log p(rejected); None for a row without a rejected answer."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """A prompt and its greedy continuation, in the trainer and as the server sees the same tokens."""

    prompt_ids: tuple[int, ...]
    served_prompt_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Of the trainer's greedy tokens, by the trainer."""
    alone: tuple[float, ...]
    """Of the same tokens, by the server, asked one at a time."""
    in_batch: tuple[float, ...]
    """Of the same tokens, by the server, asked all at once."""
    text: str
    served_text: str


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer of the server through an adapter."""

    text: str
    seconds: float
    valid: bool
    """It is the JSON that was asked for."""


def better_offline(candidate: Sequence[Scored], live: Sequence[Scored], seed: int = 0) -> Gate:
    """Is the candidate better than the live one on the same held-out rows, beyond chance?

    Paired bootstrap over users (Efron and Tibshirani 1993, chapter 8): both intervals must lie above
    zero, that of the gain in NLL and, where there are pairs enough, that of picked-over-rejected accuracy.
    With fewer than LEAST_VOICES users the rows are resampled, in blocks: then `resampled` is "rows", and
    the figures speak of these users and of no others.
    """
    if len(candidate) != len(live) or len(candidate) < LEAST_ROWS:
        return _too_few(len(candidate), f"{LEAST_ROWS} are needed")
    resampled, groups = _voices(candidate)
    if len(set(groups)) < LEAST_VOICES:
        return _too_few(
            len(candidate), f"of fewer than {LEAST_VOICES} users {LEAST_VOICES * _BLOCK} are needed"
        )
    gain = np.array([was.nll - now.nll for now, was in zip(candidate, live, strict=True)])
    low, high = _interval(gain, groups, seed)
    figures: dict[str, float | int | str | None] = {
        "rows": len(candidate),
        "resampled": resampled,
        "nll": float(np.mean([row.nll for row in candidate])),
        "nll_live": float(np.mean([row.nll for row in live])),
        "nll_gain": float(gain.mean()),
        "nll_gain_low": low,
        "nll_gain_high": high,
    }
    reasons = [] if low > 0 else [f"NLL gain {gain.mean():.3f} [{low:.3f}, {high:.3f}] is not above zero"]
    pairs = [
        (now, was)
        for now, was in zip(candidate, live, strict=True)
        if now.margin is not None and was.margin is not None
    ]
    figures["pairs"] = len(pairs)
    _, voices = _voices([now for now, _ in pairs])
    if len(pairs) >= LEAST_ROWS and len(set(voices)) >= LEAST_VOICES:
        reasons += _accuracy(pairs, voices, figures, seed)
    return Gate("offline", passed=not reasons, figures=figures, reason="; ".join(reasons))


def serves_as_trained(spoken: Sequence[Spoken]) -> Gate:
    """Does the server see the same prompt and the same probabilities as the trainer, alone and in a batch?"""
    if not spoken:
        return Gate("parity", passed=False, figures={"prompts": 0}, reason="no prompt was compared")
    same_prompt = _share([one.prompt_ids == one.served_prompt_ids for one in spoken])
    alone = _drift([(one.logprobs, one.alone) for one in spoken])
    in_batch = _drift([(one.logprobs, one.in_batch) for one in spoken])
    figures = {
        "prompts": len(spoken),
        "same_prompt_tokens": same_prompt,
        "drift_alone": alone if math.isfinite(alone) else None,
        "drift_in_batch": in_batch if math.isfinite(in_batch) else None,
        "same_text": _share([one.text.strip() == one.served_text.strip() for one in spoken]),
    }
    reasons = []
    if same_prompt < 1:
        reasons.append(f"the tokens of {1 - same_prompt:.0%} of the prompts differ: another chat template")
    reasons += [
        f"log-probabilities {where} differ by {drift:.3f} on average, {MOST_DRIFT} is allowed"
        for where, drift in (("alone", alone), ("in a batch", in_batch))
        if not drift <= MOST_DRIFT
    ]
    return Gate("parity", passed=not reasons, figures=figures, reason="; ".join(reasons))


def quick_and_valid(candidate: Sequence[Answered], live: Sequence[Answered]) -> Gate:
    """Is it about as fast as the live one, on the same prompts in the same run, and valid JSON?"""
    if not candidate or not live:
        return Gate("serving", passed=False, figures={"answers": 0}, reason="no answer was measured")
    took, takes = (float(np.median([one.seconds for one in answers])) for answers in (live, candidate))
    valid = _share([one.valid for one in candidate])
    figures = {
        "answers": len(candidate),
        "valid": valid,
        "valid_live": _share([one.valid for one in live]),
        "median_seconds": takes,
        "median_seconds_live": took,
        "times_slower": takes / took if took else None,
    }
    reasons = []
    if valid < LEAST_VALID:
        reasons.append(f"{valid:.0%} of the answers are valid JSON, {LEAST_VALID:.0%} are needed")
    if takes > MOST_SLOWER * took:
        reasons.append(f"{takes / took:.2f} times the live adapter's median time, {MOST_SLOWER} is allowed")
    return Gate("serving", passed=not reasons, figures=figures, reason="; ".join(reasons))


def no_red_flags(candidate: Sequence[Answered]) -> Gate:
    """Empty, repeated or over-long answers are what a broken run looks like."""
    if not candidate:
        return Gate("red_flags", passed=False, figures={"answers": 0}, reason="no answer was measured")
    words = [one.text.split() for one in candidate]
    figures = {
        "answers": len(candidate),
        "empty": _share([not one for one in words]),
        "repeated": _share([_repeats(one) for one in words]),
        "over_long": _share([len(one) > _LONGEST_WORDS for one in words]),
        "alike": _share([one in words[:place] for place, one in enumerate(words)]),
    }
    limits = {"empty": MOST_FLAGGED, "repeated": MOST_FLAGGED, "over_long": MOST_FLAGGED, "alike": 0.5}
    reasons = [
        f"{figures[flag]:.0%} of the answers are {flag.replace('_', '-')}"
        for flag, most in limits.items()
        if figures[flag] > most
    ]
    return Gate("red_flags", passed=not reasons, figures=figures, reason="; ".join(reasons))


def _too_few(rows: int, needed: str) -> Gate:
    return Gate("offline", passed=False, figures={"rows": rows}, reason=f"{rows} held-out rows; {needed}")


def _voices(rows: Sequence[Scored]) -> tuple[str, list[str]]:
    """What is resampled, and for each row what it is resampled with: its user, or its block."""
    users = [row.group for row in rows]
    if len(set(users)) >= LEAST_VOICES:
        return "users", users
    places: Counter[str] = Counter()
    blocks = []
    for user in users:
        blocks.append(f"{user} {places[user] // _BLOCK}")
        places[user] += 1
    return "rows", blocks


def _accuracy(
    pairs: Sequence[tuple[Scored, Scored]],
    voices: Sequence[str],
    figures: dict[str, float | int | str | None],
    seed: int,
) -> list[str]:
    now = np.array([float((candidate.margin or 0.0) > 0) for candidate, _ in pairs])
    was = np.array([float((live.margin or 0.0) > 0) for _, live in pairs])
    low, high = _interval(now - was, voices, seed)
    figures |= {
        "accuracy": float(now.mean()),
        "accuracy_live": float(was.mean()),
        "accuracy_gain_low": low,
        "accuracy_gain_high": high,
    }
    if low > 0:
        return []
    gain = float((now - was).mean())
    return [f"picked-over-rejected accuracy gain {gain:.3f} [{low:.3f}, {high:.3f}] is not above zero"]


def _interval(values: NDArray[np.float64], groups: Sequence[str], seed: int) -> tuple[float, float]:
    """The bootstrap interval of the mean, groups drawn as wholes, widened as Student's is for so few."""
    names, index = np.unique(groups, return_inverse=True)
    sums = np.bincount(index, weights=values, minlength=len(names))
    sizes = np.bincount(index, minlength=len(names))
    drawn = np.random.default_rng(seed).integers(0, len(names), (_RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - SURE) / 2, (1 + SURE) / 2])
    mean, wider = values.mean(), _wider(len(names))
    return float(mean - wider * (mean - low)), float(mean + wider * (high - mean))


def _wider(groups: int) -> float:
    """By how much a bootstrap interval of so few groups is too narrow (Efron and Tibshirani 1993, 12.2).

    Its variance divides by n, and it takes the normal quantile z for Student's, which is here the first
    terms of its expansion in 1/(n - 1) (Abramowitz and Stegun 1964, 26.7.5); right to 0.1 % from n = 8 on.
    """
    z, free = _NORMAL, groups - 1
    student = (
        z
        + (z**3 + z) / (4 * free)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * free**3)
    )
    return student / z * math.sqrt(groups / free)


def _drift(pairs: Sequence[tuple[Sequence[float], Sequence[float]]]) -> float:
    """Mean absolute difference; infinite where the two do not speak of the same tokens."""
    if any(len(one) != len(other) for one, other in pairs):
        return float("inf")
    gaps = [abs(one - other) for pair in pairs for one, other in zip(*pair, strict=True)]
    return float(np.mean(gaps)) if gaps else float("inf")


def _share(flags: Sequence[bool]) -> float:
    return float(np.mean(flags)) if flags else 0.0


def _repeats(words: Sequence[str]) -> bool:
    """Does some run of three words come `_REPEATS` times or more?"""
    runs: dict[tuple[str, ...], int] = {}
    for place in range(len(words) - 2):
        run = tuple(words[place : place + 3])
        runs[run] = runs.get(run, 0) + 1
    return max(runs.values(), default=0) >= _REPEATS
