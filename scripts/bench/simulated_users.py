"""People with habits, and people without, who ask what IN3's users asked.

A habit is about a concern: the words of a detail's description. Of its options a user of habit prefers
the one that comes first in an order drawn for (user, concern), and takes it in a share `fidelity` of
cases, any other as often as the next. Who has no habits draws evenly. So one concern in other words is
another habit: nothing here is measured with the service's own embedder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.text import stems, words

IN3 = Path(__file__).resolve().parents[2] / "data" / "playbook" / "in3.jsonl"
FIDELITIES = (1.0, 0.98, 0.95, 0.8)
"""Of the users with habits, in turn."""
_REPERTOIRE = 6
"""Requests that one user comes back with, in their own words of old."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A detail of a request, with what can be picked."""

    concern: str
    description: str
    question: str
    importance: float
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Task:
    text: str
    details: tuple[Asked, ...]
    """Most important first."""


@dataclass(frozen=True, slots=True)
class User:
    """`fidelity` None: no habits at all. `shifts`: how often habits were drawn anew."""

    id: str
    fidelity: float | None
    tasks: tuple[Task, ...]
    shifts: int = 0
    taste: str = ""
    """Whose habits these are: users of one taste prefer the same; "" is a taste of one's own."""

    def chances(self, detail: Asked) -> np.ndarray:
        """The true P(option) of each option, shape (options,)."""
        count = len(detail.options)
        if self.fidelity is None or count == 1:
            return np.full(count, 1 / count)
        chances = np.full(count, (1 - self.fidelity) / (count - 1))
        chances[self._preferred(detail)] = self.fidelity
        return chances

    def _preferred(self, detail: Asked) -> int:
        seeds = [
            (self.taste or self.id, str(self.shifts), detail.concern, " ".join(words(o)))
            for o in detail.options
        ]
        drawn = [hashlib.sha256("\x1f".join(parts).encode()).digest() for parts in seeds]
        return drawn.index(min(drawn))


def tasks(path: Path = IN3) -> list[Task]:
    """The vague requests, each with its details that have two options or more."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [Task(row["text"], _asked(row["details"])) for row in rows if row["vague"]]
    return [task for task in found if task.details]


def people(tasks_: list[Task], seed: int, with_habits: int = 24, without: int = 16) -> list[User]:
    """Each with a repertoire drawn from the tasks."""
    rng = np.random.default_rng(seed)
    fidelities = [*(FIDELITIES[number % len(FIDELITIES)] for number in range(with_habits)), *[None] * without]
    return [
        User(
            f"u{seed}-{number}", fidelity, tuple(tasks_[row] for row in rng.choice(len(tasks_), _REPERTOIRE))
        )
        for number, fidelity in enumerate(fidelities)
    ]


def colleagues(tasks_: list[Task], seed: int, count: int) -> list[User]:
    """People of one taste and one line of work, in a random order; one of forty has no habits."""
    rng = np.random.default_rng(seed)
    work = tuple(tasks_[row] for row in rng.choice(len(tasks_), _REPERTOIRE, replace=False))
    fidelities = [None if place % 40 == 0 else FIDELITIES[place % 2] for place in range(count)]
    return [
        User(f"c{seed}-{number}", fidelities[place], work, taste=f"t{seed}")
        for number, place in enumerate(rng.permutation(count))
    ]


def _asked(details: list[dict[str, object]]) -> tuple[Asked, ...]:
    kept = [
        Asked(
            concern=" ".join(sorted(set(stems(str(detail["description"]))))),
            description=str(detail["description"]),
            question=str(detail["question"]),
            importance=float(str(detail["importance"])),
            options=tuple(dict.fromkeys(map(str, detail["options"]))),  # type: ignore[call-overload]
        )
        for detail in details
    ]
    return tuple(sorted((one for one in kept if len(one.options) > 1), key=lambda one: -one.importance))
