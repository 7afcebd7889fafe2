"""If only one question may be asked, which? The most important, against the one of most value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from app.services.habits import Habits, Offer, Prediction
from app.services.preference_order import value_of_information
from scripts.bench.simulated_users import Asked, User

_DETAILS = 3


@dataclass(frozen=True, slots=True)
class Loss:
    """Importance times the true chance of a wrong guess, over what was not asked: mean of the last third."""

    by_importance: float
    by_value: float
    by_oracle: float
    """Asking what those would ask who know every chance."""


def run(users: list[User], offer: Callable[[Asked], Offer], requests: int, seed: int) -> Loss:
    """All but one of three details are guessed; the rules meet the same users and learn from all answers."""
    rng = np.random.default_rng(seed)
    habits = Habits()
    losses: list[tuple[float, ...]] = []
    for _ in range(requests):
        user = users[rng.integers(len(users))]
        details = user.tasks[rng.integers(len(user.tasks))].details[:_DETAILS]
        guesses = [habits.predict(user.id, offer(detail)) for detail in details]
        missed = np.array([_missed(user, *pair) for pair in zip(details, guesses, strict=True)])
        values = [_value(*pair) for pair in zip(details, guesses, strict=True)]
        losses.append(tuple(missed.sum() - missed[one] for one in (0, np.argmax(values), np.argmax(missed))))
        for detail in details:
            habits.picked(user.id, offer(detail), _answer(user, detail, rng))
    return Loss(*np.mean(losses[2 * requests // 3 :], axis=0).tolist())


def _missed(user: User, detail: Asked, guess: Prediction) -> float:
    return detail.importance * (1 - float(user.chances(detail)[guess.option]))


def _value(detail: Asked, guess: Prediction) -> float:
    return value_of_information(detail.importance, 1.0, guess.regret, 0.0)


def _answer(user: User, detail: Asked, rng: np.random.Generator) -> int:
    return int(rng.choice(len(detail.options), p=user.chances(detail)))
