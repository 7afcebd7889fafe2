"""Whose words are whose: what one user alone wrote may not be read by another.

A word (a stem) leaves the scope of a user who wrote it once `ENOUGH_USERS` users of the tenant know it: they
wrote it themselves, or were shown it in a question. That is k-anonymity (Sweeney, 2002) of single words.
A lesson with a word that is not common yet waits for it.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.services.lessons import Lesson

ENOUGH_USERS = 3
"""The k of k-anonymity."""
WORDS, WAITING = 50_000, 5_000
"""Kept of a tenant: words that few know, and lessons that wait, of which the oldest goes."""

Vector = NDArray[np.float32]


class CommonWords:
    """A fold over who wrote what and who was shown what."""

    def __init__(self, size: int = WORDS) -> None:
        self._size = size
        self._rare: dict[str, dict[str, bool]] = {}
        self._common: set[str] = set()

    def __len__(self) -> int:
        """How many words are common."""
        return len(self._common)

    def heard(self, user_id: str, written: Collection[str], shown: Collection[str]) -> list[str]:
        """The stems that a user wrote and those that the user was shown; which are common from now on."""
        known = [(stem, True) for stem in sorted(written)]
        known += [(stem, False) for stem in sorted(set(shown) - set(written))]
        return [stem for stem, wrote in known if self._knows(user_id, stem, wrote)]

    def private(self, user_id: str, stems: Collection[str]) -> str | None:
        """The first of these stems that must not leave this user's scope; None where all may.

        A word that the user never wrote is none of theirs. Where there is no room to keep who wrote a
        word, every word not known to be common counts as theirs.
        """
        return next((stem for stem in sorted(stems) if self._is_private(user_id, stem)), None)

    def _is_private(self, user_id: str, stem: str) -> bool:
        if stem in self._common:
            return False
        knowing = self._rare.get(stem)
        return self._full if knowing is None else knowing.get(user_id, False)

    def _knows(self, user_id: str, stem: str, wrote: bool) -> bool:
        """Whether the stem becomes common by this."""
        if stem in self._common or (stem not in self._rare and self._full):
            return False
        knowing = self._rare.setdefault(stem, {})
        knowing[user_id] = wrote or knowing.get(user_id, False)
        if len(knowing) < ENOUGH_USERS:
            return False
        del self._rare[stem]
        self._common.add(stem)
        return True

    @property
    def _full(self) -> bool:
        return len(self._rare) + len(self._common) >= self._size


@dataclass(frozen=True, slots=True)
class Waiting:
    """A lesson that is not told yet, and the vector of its request."""

    lesson: Lesson
    vector: Vector


class WaitingRoom:
    """Lessons by the one word that each waits for."""

    def __init__(self, size: int = WAITING) -> None:
        self._size = size
        self._for: defaultdict[str, OrderedDict[str, Waiting]] = defaultdict(OrderedDict)
        self._order: OrderedDict[str, str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._order)

    def enter(self, one: Waiting, stem: str) -> None:
        """Wait for `stem`; in a full room in place of who has waited for longest."""
        self._for[stem][one.lesson.id] = one
        self._order[one.lesson.id] = stem
        if len(self._order) > self._size:
            gone, word = self._order.popitem(last=False)
            del self._for[word][gone]

    def called(self, stem: str) -> list[Waiting]:
        """Those who waited for `stem`; they are out."""
        out = self._for.pop(stem, OrderedDict())
        for lesson_id in out:
            del self._order[lesson_id]
        return list(out.values())
