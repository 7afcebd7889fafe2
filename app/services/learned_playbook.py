"""The living playbook of one tenant: a shelf that all of it reads, and one for each user."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from app.models import Example, Origin, PlaybookEdit
from app.services.common_words import CommonWords, Waiting, WaitingRoom
from app.services.lessons import Lesson, Passed
from app.services.shelf import LearnedEntry, Shelf
from app.text import stems

TENANT_ENTRIES, USER_ENTRIES, USERS = 20_000, 500, 2_000
"""Kept of a tenant, of a user, and how many users: the one who has said nothing for longest goes first."""
_OWN = 2.0
"""What an entry of the user's own weighs against one of the tenant's."""
_LIKE, _UNLIKE = 0.8, 0.1
"""Similarity = _LIKE * cosine - _UNLIKE: what the mean of cosine and tf-idf cosine, by which shipped entries
are ranked, comes to where the words of a request are not ours to compare."""
_GROWN = 250
"""Entries at which those of a tenant weigh one and a half times what shipped ones do; twice at the most."""
_SAME_REQUEST = 0.999
_FARTHEST = 0.1
"""Similarity below which an entry comes from another subject altogether."""

Vector = NDArray[np.float32]


class LearnedPlaybook:
    """A fold over lessons in one order, without clock or chance."""

    def __init__(self) -> None:
        self._tenant = Shelf(TENANT_ENTRIES)
        self._users: OrderedDict[str, Shelf] = OrderedDict()
        self._words, self._waiting = CommonWords(), WaitingRoom()

    def __len__(self) -> int:
        return len(self._tenant)

    def heard(self, user_id: str, written: Collection[str], shown: Collection[str], number: int) -> None:
        """Stems that a user wrote, and was shown: what waited for users enough to know them is told."""
        for stem in self._words.heard(user_id, written, shown):
            for one in self._waiting.called(stem):
                self._tell(one, number)

    def learn(self, lesson: Lesson, vector: Vector, number: int) -> None:
        """Put what a user wanted to be asked on both shelves; `number` counts the events so far.

        On the tenant's it stands once no word of it is the user's alone.
        """
        own = LearnedEntry(f"u-{lesson.id}", lesson.text, lesson.own, last=number)
        self._shelf(lesson.user_id).learn(own, vector)
        self._tell(Waiting(lesson, vector), number)

    def pass_over(self, skipped: Passed, vector: Vector) -> None:
        """Count a question that was let lie."""
        self._shelf(skipped.user_id).pass_over(skipped.own, vector)
        if skipped.shared is not None:
            self._tenant.pass_over(skipped.shared, vector)

    def edit(self, edit: PlaybookEdit) -> None:
        """Weigh or remove an entry by hand; one that is no longer there is let be."""
        shelf = self._users.get(edit.user_id) if edit.user_id else self._tenant
        if shelf is not None and edit.weight is None:
            shelf.remove(edit.entry_id)
        elif shelf is not None and edit.weight is not None:
            shelf.set_weight(edit.entry_id, edit.weight)

    def find(self, entry_id: str) -> tuple[str, LearnedEntry] | None:
        """Whose it is ("" for the tenant's) and the entry itself."""
        for user_id, shelf in [("", self._tenant), *self._users.items()]:
            if entry := shelf.get(entry_id):
                return user_id, entry
        return None

    def resembling(self, vector: Vector, user_id: str, k: int, *, exclude_same: bool) -> list[Example]:
        """The k entries of requests most like this one, the user's own and the tenant's in one ranking.

        A user's own lesson also stands on the tenant's shelf; it is told once. `exclude_same` leaves out
        what was learned from this very request.
        """
        shelf = self._users.get(user_id)
        highest = _SAME_REQUEST if exclude_same else np.inf
        own = [] if shelf is None else shelf.nearest(vector, k, highest)
        told = {entry.id[2:] for _, entry in own}
        shared = [
            (cosine, entry)
            for cosine, entry in self._tenant.nearest(vector, k + len(own), highest)
            if entry.picks > 1 or entry.id[2:] not in told
        ]
        grown = 1 + len(self._tenant) / (len(self._tenant) + _GROWN)
        found = [_example(cosine, entry, "user", _OWN * grown) for cosine, entry in own]
        found += [_example(cosine, entry, "tenant", grown) for cosine, entry in shared]
        likely = [one for one in found if one.similarity > _FARTHEST]
        return sorted(likely, key=lambda example: -example.similarity)[:k]

    def entries(self, user_id: str | None) -> list[LearnedEntry]:
        """A user's own entries, or where None the tenant's, as they stand."""
        shelf = self._tenant if user_id is None else self._users.get(user_id)
        return [] if shelf is None else list(shelf)

    def users(self) -> list[str]:
        """Who has entries of their own."""
        return sorted(user_id for user_id, shelf in self._users.items() if len(shelf))

    @property
    def withheld(self) -> tuple[int, int]:
        """How many lessons wait, and how many words are common."""
        return len(self._waiting), len(self._words)

    def _tell(self, one: Waiting, number: int) -> None:
        lesson, shared = one.lesson, one.lesson.shared
        if shared is None:
            return
        private = self._words.private(lesson.user_id, lesson.telling)
        if private is not None:
            self._waiting.enter(one, private)
            return
        options = [
            each for each in shared.options if self._words.private(lesson.user_id, stems(each)) is None
        ]
        told = replace(shared, options=tuple(options) if len(options) > 1 else ())
        self._tenant.learn(LearnedEntry(f"t-{lesson.id}", None, told, last=number), one.vector)

    def _shelf(self, user_id: str) -> Shelf:
        shelf = self._users.setdefault(user_id, Shelf(USER_ENTRIES))
        self._users.move_to_end(user_id)
        if len(self._users) > USERS:
            self._users.popitem(last=False)
        return shelf


def _example(cosine: float, entry: LearnedEntry, origin: Origin, factor: float) -> Example:
    return Example(
        id=entry.id,
        similarity=min(1.0, max(0.0, _LIKE * cosine - _UNLIKE)),
        text=entry.text,
        vague=True,
        details=(entry.detail,),
        origin=origin,
        weight=factor * entry.weight,
    )
