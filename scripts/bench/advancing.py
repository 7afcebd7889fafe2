"""Simulated users against what may be assumed for them: habits, calibration and the bound together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from app.services.advance import SILENCE_WEIGHT, AdvanceBound, is_audited
from app.services.calibration import Calibration
from app.services.habits import Habits, Offer
from app.services.reliability import Reliability, reliability
from scripts.bench.simulated_users import Asked, User

DELTA = 0.1
_PER_REQUEST = 2
"""Details that a request needs settled: one a round, two rounds at most."""
_JUDGED_FROM = 500


@dataclass(frozen=True, slots=True)
class Guess:
    option: int
    score: float
    advanced: bool


class Assistant(Protocol):
    """What the users talk to: the modules themselves here, a running service as well."""

    def guess(self, user_id: str, detail: Asked, request_id: str) -> Guess: ...

    def picked(self, user_id: str, detail: Asked, request_id: str, guess: Guess, option: int) -> None: ...

    def undone(self, user_id: str, detail: Asked, guess: Guess) -> None: ...

    def silent(self, user_id: str, detail: Asked, guess: Guess) -> None: ...

    def stood_down(self) -> bool:
        """Nothing is advanced now."""
        ...


class Modules:
    """The pure modules, wired as the conductors wire them."""

    def __init__(self, offer: Callable[[Asked], Offer], alpha: float) -> None:
        self._offer = offer
        self.habits, self.bound, self.calibration = Habits(), AdvanceBound(alpha, DELTA), Calibration()
        self.judged: list[tuple[float, bool]] = []

    def guess(self, user_id: str, detail: Asked, request_id: str) -> Guess:
        said = self.habits.predict(user_id, self._offer(detail))
        return Guess(said.option, said.score, self.bound.allows(said.score) and not is_audited(request_id))

    def picked(self, user_id: str, detail: Asked, request_id: str, guess: Guess, option: int) -> None:
        right = option == guess.option
        said = self.calibration.probability(guess.score)
        if said is not None and self.calibration.labels >= _JUDGED_FROM:
            self.judged.append((said, right))
        self.calibration.observe(guess.score, right)
        advancing = not self.stood_down()
        self.bound.answered(guess.score, right, advancing=advancing, audited=is_audited(request_id))
        self.habits.picked(user_id, self._offer(detail), option)

    def undone(self, user_id: str, detail: Asked, guess: Guess) -> None:
        self.bound.undone(guess.score)
        self.habits.undone(user_id, self._offer(detail), guess.option)

    def silent(self, user_id: str, detail: Asked, guess: Guess) -> None:
        self.bound.silent(guess.score)
        self.habits.picked(user_id, self._offer(detail), guess.option, SILENCE_WEIGHT)

    def stood_down(self) -> bool:
        return self.bound.bound.threshold is None

    def reliability(self) -> Reliability:
        """Of what was said once there were 500 labels, each before its own label was learned."""
        return reliability([said for said, _ in self.judged], [label for _, label in self.judged])


@dataclass(frozen=True, slots=True)
class Event:
    """One detail of one request, with what only the simulation knows."""

    request: int
    advanced: bool
    wrong: bool
    risk: float
    """The true chance that the guess was wrong."""
    predictable: float
    """The true chance of the user's likeliest option: what an oracle knows."""
    stood_down: bool


def run(
    users: list[User],
    assistant: Assistant,
    requests: int,
    seed: int,
    *,
    shift_at: int = -1,
    taken_back: float = 0.7,
) -> list[Event]:
    """So many requests by users in turn at random.

    `taken_back`: the share of wrong advances that users notice and undo; at request `shift_at` all
    habits are drawn anew.
    """
    rng = np.random.default_rng(seed)
    events: list[Event] = []
    for number in range(requests):
        if number == shift_at:
            users = [replace(user, shifts=user.shifts + 1) for user in users]
        user = users[rng.integers(len(users))]
        task = user.tasks[rng.integers(len(user.tasks))]
        settle = partial(_settle, user, assistant=assistant, rng=rng, request=number, taken_back=taken_back)
        events += [settle(one, f"{seed}/{number}/{one.description}") for one in task.details[:_PER_REQUEST]]
    return events


def _settle(
    user: User,
    detail: Asked,
    request_id: str,
    *,
    assistant: Assistant,
    rng: np.random.Generator,
    request: int,
    taken_back: float,
) -> Event:
    chances = user.chances(detail)
    wanted = int(rng.choice(len(chances), p=chances))
    guess = assistant.guess(user.id, detail, request_id)
    wrong = guess.option != wanted
    if not guess.advanced:
        assistant.picked(user.id, detail, request_id, guess, wanted)
    elif wrong and rng.random() < taken_back:
        assistant.undone(user.id, detail, guess)
    else:
        assistant.silent(user.id, detail, guess)
    risk = 1 - float(chances[guess.option])
    return Event(request, guess.advanced, wrong, risk, float(chances.max()), assistant.stood_down())


def oracle_share(events: list[Event], alpha: float) -> float:
    """The largest share that could be advanced by who knows every chance, with alpha wrong on average."""
    errors = np.sort(1 - np.array([event.predictable for event in events]))
    allowed = np.cumsum(errors) <= alpha * np.arange(1, len(errors) + 1)
    return float(allowed.sum() / len(events))
