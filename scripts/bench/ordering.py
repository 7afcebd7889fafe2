"""Simulated users against the order of questions: does it learn, and can another order be judged from it?

A user looks at place k with the chance 1 / k (Joachims, Swaminathan and Schnabel, 2017), and picks of what
was seen by a conditional logit, "none of these" included. What a user cares for is drawn for each
concern. The learner's own model of places is another one, so that it is not right by construction.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from app.services.calibration import Calibration
from app.services.offpolicy import Estimate, Logged, doubly_robust, ips, snips
from app.services.preference_order import Candidate, PreferenceOrder
from app.services.reliability import Reliability, reliability
from app.services.showing import best_order, log_propensity, show
from scripts.bench.simulated_users import Asked, User

_SHOWN = 3
_POOL = 4
_JUDGED_FROM = 500


@dataclass
class Outcome:
    """What a run leaves behind."""

    wanted_first: list[bool] = field(default_factory=list)
    """Was the question that the user cares for most put first, by the learned order?"""
    wanted_first_before: list[bool] = field(default_factory=list)
    """And by the order of old?"""
    logged: list[Logged] = field(default_factory=list)
    target_value: list[float] = field(default_factory=list)
    """The true expected reward of the other order, request by request."""
    judged: list[tuple[float, bool]] = field(default_factory=list)

    def estimates(self) -> dict[str, Estimate]:
        return {"IPS": ips(self.logged), "SNIPS": snips(self.logged), "DR": doubly_robust(self.logged)}

    def reliability(self) -> Reliability:
        return reliability([said for said, _ in self.judged], [label for _, label in self.judged])


@dataclass
class _History:
    own: defaultdict[tuple[str, str], list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0.0, 0.0])
    )
    tenant: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))

    def candidate(self, user: User, detail: Asked, raw: float, rank: int) -> Candidate:
        own, tenant = self.own[user.id, detail.concern], self.tenant[detail.concern]
        return Candidate(
            raw, rank, detail.importance, "local", own_picks=own[0], own_shows=own[1],
            tenant_picks=tenant[0], tenant_shows=tenant[1],
        )  # fmt: skip

    def learn(self, user: User, shown: list[Asked], picked: int | None) -> None:
        for place, detail in enumerate(shown):
            for counts in (self.own[user.id, detail.concern], self.tenant[detail.concern]):
                counts[0] += place == picked
                counts[1] += 1


def run(users: list[User], requests: int, seed: int) -> Outcome:
    """Reward: the user picked something. Judged off-policy: the order of old says what comes first."""
    rng = np.random.default_rng(seed)
    order, history, calibration, outcome = PreferenceOrder(), _History(), Calibration(), Outcome()
    for number in range(requests):
        user = users[rng.integers(len(users))]
        pool = list(user.tasks[rng.integers(len(user.tasks))].details[:_POOL])
        if len(pool) < _SHOWN:
            continue
        raws = [_raw(detail) for detail in pool]
        ranks = np.argsort(np.argsort(-np.array(raws), kind="stable"))
        candidates = [
            history.candidate(user, detail, raw, int(rank))
            for detail, raw, rank in zip(pool, raws, ranks, strict=True)
        ]
        utilities = order.utilities(candidates).tolist()
        slate = show(utilities, _SHOWN, f"{seed}/{number}")
        shown = [candidates[index] for index in slate.order]
        cares = np.array([_cares(user, detail) for detail in pool])
        picked = _pick(cares[list(slate.order)], rng)
        old = best_order(raws, 1)[0]
        _judge(outcome, calibration, order, shown, picked)
        outcome.wanted_first.append(int(np.argmax(cares)) == best_order(utilities, 1)[0])
        outcome.wanted_first_before.append(int(np.argmax(cares)) == old)
        slates = _slates(utilities, old)
        forecasts = {one: 1 - float(order.shares([candidates[i] for i in one])[-1]) for one in slates}
        logged_forecast = 1 - float(order.shares(shown)[-1])
        outcome.logged.append(
            Logged(
                log_propensity=slate.log_propensity,
                target=slates.get(slate.order, 0.0),
                reward=float(picked is not None),
                forecast_logged=logged_forecast,
                forecast_target=sum(chance * forecasts[one] for one, chance in slates.items()),
            )
        )
        outcome.target_value.append(
            sum(chance * (1 - float(_chances(cares[list(one)])[-1])) for one, chance in slates.items())
        )
        order.selected(shown, picked)
        history.learn(user, [pool[index] for index in slate.order], picked)
    return outcome


def _slates(utilities: list[float], first: int) -> dict[tuple[int, ...], float]:
    """The other order: `first` comes first, the rest by the chances of the order in force."""
    marginal = log_propensity(utilities, (first,))
    others = [index for index in range(len(utilities)) if index != first]
    slates = [(first, *rest) for rest in itertools.permutations(others, _SHOWN - 1)]
    return {slate: math.exp(log_propensity(utilities, slate) - marginal) for slate in slates}


def _judge(
    outcome: Outcome,
    calibration: Calibration,
    order: PreferenceOrder,
    shown: list[Candidate],
    picked: int | None,
) -> None:
    for place, raw in enumerate(order.probabilities(shown).tolist()):
        said = calibration.probability(raw)
        if said is not None and calibration.labels >= _JUDGED_FROM:
            outcome.judged.append((said, place == picked))
        calibration.observe(raw, place == picked)


def _pick(cares: np.ndarray, rng: np.random.Generator) -> int | None:
    chances = _chances(cares)
    drawn = int(rng.choice(len(chances), p=chances))
    return drawn if drawn < len(cares) else None


def _chances(cares: np.ndarray) -> np.ndarray:
    """P(picked) of each place and of none, exactly: the sum over what may have been seen."""
    total = np.zeros(len(cares) + 1)
    for seen in itertools.product((False, True), repeat=len(cares)):
        chance = np.prod([1 / place if s else 1 - 1 / place for place, s in enumerate(seen, 1)])
        strengths = np.append(np.exp(cares) * seen, 1.0)
        total += chance * strengths / strengths.sum()
    return total


def _cares(user: User, detail: Asked) -> float:
    """Utility against "none of these": the important more, and each user their own concerns."""
    return 0.6 * (detail.importance - 2) + 3.0 * (_drawn(user.id, detail.concern) - 0.5)


def _raw(detail: Asked) -> float:
    """The score of old: importance, and the accident of how a text was matched."""
    return 0.25 * detail.importance * (0.6 + 0.4 * _drawn("raw", detail.question, detail.description))


def _drawn(*parts: str) -> float:
    """0..1, the same for the same parts."""
    return int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:8]) / 2**64
