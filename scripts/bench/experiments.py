"""How often an experiment promotes by chance, and how many users it takes to a decision.

`python -m scripts.bench.experiments`: simulated users, looked at after every one. Ends with 1 where more
experiments without a difference end in a promotion than alpha allows.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.services.experiments import Rules
from app.services.sequential import LIFTS, WEIGHTS, Floats, contrasts, log_wealth

_ALPHA = 0.05
_RUNS = 500
_MOST = 10_000
_SEED = 11
_NAIVE_Z = 1.645
_WORTH = Rules().worth

Draw = Callable[[np.random.Generator, Floats], Floats]
"""A value in 0..1 for each user, with these means."""


@dataclass(frozen=True, slots=True)
class Setting:
    name: str
    control: float
    candidate: float
    share: float
    draw: Draw


@dataclass(frozen=True, slots=True)
class Run:
    candidate: NDArray[np.bool_]
    values: Floats
    share: float


def main() -> None:
    print(f"alpha {_ALPHA}, looked at after every user, at most {_MOST} users, {_RUNS} experiments a row\n")
    print(
        f"{'users':27} {'share':>5}  {'promoted':>8} {'rolled back':>11} {'futile':>6} {'median users':>12}"
    )
    same = [_row(setting) for setting in _SAME]
    for setting in _DIFFERENT:
        _row(setting)
    print()
    _tests()
    chance = sum(ends["promote"] for ends in same) / (_RUNS * len(same))
    print(f"\npromoted by chance: {chance:.2%} of {_RUNS * len(same)}, {_ALPHA:.0%} is allowed")
    sys.exit(chance > _ALPHA)


def _row(setting: Setting) -> Counter[str]:
    ended = [_end(run) for run in _runs(setting, _RUNS)]
    ends = Counter(verdict for verdict, _ in ended)
    lift = f"{setting.control:.2f} -> {setting.candidate:.2f} {setting.name}"
    promoted, back, futile = (ends[verdict] / _RUNS for verdict in ("promote", "roll back", "futile"))
    users = int(np.median([count for _, count in ended]))
    print(f"{lift:27} {setting.share:5.2f}  {promoted:8.1%} {back:11.1%} {futile:6.1%} {users:12}")
    return ends


def _end(run: Run) -> tuple[str, int]:
    """The first verdict, as app.services.experiments gives it, and after how many users."""
    lifts = contrasts(run.candidate, run.values, run.share)
    better = _first(log_wealth(lifts, run.share, 0.0, "above"))
    given_up = _first(log_wealth(lifts, run.share, _WORTH, "below"))
    users = min(better, given_up, _MOST)
    if better <= users:
        return "promote", users
    candidate, values = run.candidate[:users], run.values[:users]
    lift = values[candidate].mean() - values[~candidate].mean()
    return "roll back" if given_up <= users and lift <= -_WORTH else "futile", users


def _tests() -> None:
    """The test that was taken beside those that were not, on the same users."""
    print(f"{'lift above 0':27} {'by chance':>9} {'median users, 0.60 -> 0.65':>27}")
    for name, test in _TESTS.items():
        chance = np.mean([_first(test(run)) <= _MOST for run in _runs(_SAME[0], 200)])
        users = int(np.median([_first(test(run)) for run in _runs(_DIFFERENT[0], 200)]))
        print(f"{name:27} {chance:9.1%} {users:27}")


def _runs(setting: Setting, count: int) -> Iterator[Run]:
    rng = np.random.default_rng(_SEED)
    for _ in range(count):
        candidate = rng.random(_MOST) < setting.share
        means = np.where(candidate, setting.candidate, setting.control)
        yield Run(candidate, setting.draw(rng, means), setting.share)


def _first(path: Floats) -> int:
    """The number of users at which alpha is reached; more than there are where it never is."""
    reached = path >= -math.log(_ALPHA)
    return int(reached.argmax()) + 1 if reached.any() else _MOST + 1


def _clicks(rng: np.random.Generator, means: Floats) -> Floats:
    return (rng.random(len(means)) < means).astype(float)


def _sittings(rng: np.random.Generator, means: Floats) -> Floats:
    """The mean of one to three requests of a user, who picks always, never or now and then."""
    own = rng.beta(2 * means, 2 * (1 - means))
    requests = rng.integers(1, 4, len(means))
    picked: Floats = rng.binomial(requests, own) / requests
    return picked


def _mixture(run: Run) -> Floats:
    return log_wealth(contrasts(run.candidate, run.values, run.share), run.share, 0.0, "above")


def _plugged_in(run: Run) -> Floats:
    """Bets by the mean and variance so far (Waudby-Smith and Ramdas 2024, aGRAPA)."""
    lifts = contrasts(run.candidate, run.values, run.share)
    users, squares = np.arange(len(lifts)), lifts**2
    variance = (10 + np.cumsum(squares) - squares) / (10 + users)
    bets = np.clip((np.cumsum(lifts) - lifts) / (users + 50) / variance, 0, 0.15)
    wealth: Floats = np.cumsum(np.log1p(bets * lifts))
    return wealth


def _two_sample(run: Run) -> Floats:
    """E-variables of Turner, Ly and Gruenwald 2024, one user a block, mixed over the same lifts."""
    values, share = run.values, run.share
    pooled = np.clip((np.cumsum(values) - values + 1) / (np.arange(len(values)) + 2), 0.01, 0.99)
    paths = []
    for lift in LIFTS:
        most = 0.9 * np.minimum((1 - pooled) / (1 - share), pooled / share)
        moved = np.minimum(lift, most)
        means = pooled + np.where(run.candidate, (1 - share) * moved, -share * moved)
        paths.append(np.cumsum(np.log(values * means / pooled + (1 - values) * (1 - means) / (1 - pooled))))
    mixed: Floats = np.log(np.array(WEIGHTS) @ np.exp(np.array(paths)))
    return mixed


def _naive(run: Run) -> Floats:
    """The z-test of a fixed size, looked at after every user from the 30th on: what this is not."""
    users = np.arange(1, len(run.values) + 1)
    mine = np.maximum(np.cumsum(run.candidate), 1)
    others = np.maximum(users - np.cumsum(run.candidate), 1)
    means = (
        np.cumsum(run.values * run.candidate) / mine,
        np.cumsum(run.values * ~run.candidate) / others,
    )
    pooled = np.cumsum(run.values) / users
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 0.01) * (1 / mine + 1 / others))
    path: Floats = np.where((means[0] - means[1] >= _NAIVE_Z * error) & (users >= 30), np.inf, 0.0)
    return path


_TESTS: dict[str, Callable[[Run], Floats]] = {
    "bets on four lifts (taken)": _mixture,
    "bets plugged in": _plugged_in,
    "two-sample e-variables": _two_sample,
    "z-test, looked at as it runs": _naive,
}
_SAME = [
    Setting("clicks", 0.6, 0.6, 0.5, _clicks),
    Setting("clicks", 0.6, 0.6, 0.1, _clicks),
    Setting("clicks", 0.1, 0.1, 0.5, _clicks),
    Setting("sittings", 0.6, 0.6, 0.5, _sittings),
]
_DIFFERENT = [
    Setting("clicks", 0.6, 0.65, 0.5, _clicks),
    Setting("clicks", 0.6, 0.65, 0.2, _clicks),
    Setting("clicks", 0.6, 0.65, 0.1, _clicks),
    Setting("sittings", 0.6, 0.65, 0.5, _sittings),
    Setting("clicks", 0.6, 0.7, 0.5, _clicks),
    Setting("clicks", 0.6, 0.55, 0.5, _clicks),
    Setting("clicks", 0.6, 0.1, 0.5, _clicks),
]


if __name__ == "__main__":
    main()
