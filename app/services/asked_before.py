"""How often a detail was shown to a user and to a tenant, and how often it was picked."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from app.text import stems

TENANT_DETAILS, USER_DETAILS, USERS = 5000, 200, 1000
"""Kept of a tenant, of a user, and how many users: what was not shown for longest goes first."""


@dataclass(frozen=True, slots=True)
class Counts:
    picks: int = 0
    shows: int = 0


class AskedBefore:
    """A fold over what was shown. Two details are the same where their words are, but for endings."""

    def __init__(self) -> None:
        self._tenant: OrderedDict[str, Counts] = OrderedDict()
        self._users: OrderedDict[str, OrderedDict[str, Counts]] = OrderedDict()

    def shown(self, user_id: str, detail: str, picked: bool) -> None:
        own = self._users.setdefault(user_id, OrderedDict())
        self._users.move_to_end(user_id)
        if len(self._users) > USERS:
            self._users.popitem(last=False)
        for book, most in ((own, USER_DETAILS), (self._tenant, TENANT_DETAILS)):
            _count(book, _name(detail), picked, most)

    def own(self, user_id: str, detail: str) -> Counts:
        return self._users.get(user_id, OrderedDict()).get(_name(detail), Counts())

    def tenant(self, detail: str) -> Counts:
        return self._tenant.get(_name(detail), Counts())

    def snapshot(self) -> dict[str, dict[str, tuple[int, int]]]:
        """[picks, shows] by detail, for each user and under "" for the tenant; newest last."""
        books = {"": self._tenant, **self._users}
        return {
            user_id: {name: (counts.picks, counts.shows) for name, counts in book.items()}
            for user_id, book in books.items()
        }


def _count(book: OrderedDict[str, Counts], name: str, picked: bool, most: int) -> None:
    before = book.get(name, Counts())
    book[name] = Counts(before.picks + picked, before.shows + 1)
    book.move_to_end(name)
    if len(book) > most:
        book.popitem(last=False)


def _name(detail: str) -> str:
    return " ".join(sorted(set(stems(detail)))) or detail
