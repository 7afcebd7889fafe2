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
    """Importance of what was guessed wrong, the mean of a request of the last third, by what was asked."""

    by_importance: float
    by_value: float


def run(users: list[User], offer: Callable[[Asked], Offer], requests: int, seed: int) -> Loss:
    """All but one of three details are guessed; both rules meet the same users and learn from all answers."""
    rng = np.random.default_rng(seed)
    habits = Habits()
    losses: list[tuple[float, float]] = []
    for _ in range(requests):
        user = users[rng.integers(len(users))]
        details = user.tasks[rng.integers(len(user.tasks))].details[:_DETAILS]
        guesses = [habits.predict(user.id, offer(detail)) for detail in details]
        wanted = [int(rng.choice(len(detail.options), p=user.chances(detail))) for detail in details]
        missed = np.array(
            [
                detail.importance * (guess.option != option)
                for detail, guess, option in zip(details, guesses, wanted, strict=True)
            ]
        )
        asked = max(range(len(details)), key=lambda place: _value(details[place], guesses[place]))
        losses.append((float(missed[1:].sum()), float(missed.sum() - missed[asked])))
        for detail, option in zip(details, wanted, strict=True):
            habits.picked(user.id, offer(detail), option)
    by_importance, by_value = np.mean(losses[2 * requests // 3 :], axis=0).tolist()
    return Loss(by_importance, by_value)


def _value(detail: Asked, guess: Prediction) -> float:
    return value_of_information(detail.importance, 1.0, guess.regret, 0.0)
