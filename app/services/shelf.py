"""Learned playbook entries of one scope, found again by the vectors of the requests they came from."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from app.models import Detail
from app.text import stems

Vector = NDArray[np.float32]

_TWIN = 0.85
"""Cosine of the requests from which on two entries for the same detail are one."""
_NEAR = 0.45
"""Cosine from which on letting a question lie speaks against an entry that asks the same."""
_FADING = 0.3
"""Skips that weigh as one pick: to be passed over says less than to be wanted."""
_RECENCY = 2_000
"""Events after which an entry that nobody picked since weighs half when room is needed."""
_EVICTED = 0.05
"""The share that goes at once when a shelf is full, so that the search for the least is rare."""


@dataclass(frozen=True, slots=True)
class LearnedEntry:
    """One detail that somebody wanted to be asked about at a request like this."""

    id: str
    text: str | None
    """The request; None on a shelf that others read."""
    detail: Detail
    picks: float = 1.0
    skips: float = 0.0
    set_weight: float = 1.0
    """By a person's hand; 0 keeps it from all answers."""
    last: int = 0
    """The number of the event that taught it last."""

    @property
    def weight(self) -> float:
        """sqrt(picks), faded by the share of times that it was passed over."""
        share = self.picks / (self.picks + _FADING * self.skips)
        return self.set_weight * math.sqrt(self.picks) * share


class Shelf:
    """Grows by doubling up to `size`; then the entries of lowest weight times recency go first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: list[LearnedEntry] = []
        self._vectors: Vector = np.zeros((0, 0), np.float32)
        self._asking: defaultdict[frozenset[str], list[int]] = defaultdict(list)
        self._rows: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[LearnedEntry]:
        return iter(self._entries)

    def get(self, entry_id: str) -> LearnedEntry | None:
        row = self._rows.get(entry_id)
        return None if row is None else self._entries[row]

    def learn(self, entry: LearnedEntry, vector: Vector) -> str:
        """Add it, or count it to the entry for the same detail of a request like this; whose id it is."""
        for row in self._asking[asking(entry.detail.description)]:
            if float(self._vectors[row] @ vector) >= _TWIN:
                self._merge(row, entry)
                return self._entries[row].id
        if len(self._entries) >= self._size:
            self._evict(entry.last)
        self._append(entry, vector)
        return entry.id

    def pass_over(self, description: str, vector: Vector) -> None:
        """Count a skip to every entry that asks for this at a request like this."""
        for row in self._asking.get(asking(description), ()):
            near = float(self._vectors[row] @ vector)
            if near >= _NEAR:
                held = self._entries[row]
                self._entries[row] = replace(held, skips=held.skips + near)

    def set_weight(self, entry_id: str, weight: float) -> None:
        """By a person's hand; an unknown entry may have been evicted since."""
        row = self._rows.get(entry_id)
        if row is not None:
            self._entries[row] = replace(self._entries[row], set_weight=weight)

    def remove(self, entry_id: str) -> None:
        """Take an entry off; it comes back when it is learned again."""
        row = self._rows.get(entry_id)
        if row is not None:
            self._keep([one for one in range(len(self._entries)) if one != row])

    def nearest(self, vector: Vector, k: int, below: float = np.inf) -> list[tuple[float, LearnedEntry]]:
        """The k entries of the likest requests with their cosine under `below`, likest first."""
        count = len(self._entries)
        if not count or k < 1:
            return []
        cosines = self._vectors[:count] @ vector
        rows = np.arange(count) if count <= k else np.sort(np.argpartition(-cosines, k - 1)[:k])
        order = rows[np.argsort(-cosines[rows], kind="stable")]
        return [
            (float(cosines[row]), self._entries[row])
            for row in order
            if self._entries[row].weight > 0 and cosines[row] < below
        ]

    def _merge(self, row: int, entry: LearnedEntry) -> None:
        held = self._entries[row]
        detail = replace(
            held.detail,
            importance=(held.picks * held.detail.importance + entry.detail.importance) / (held.picks + 1),
            options=entry.detail.options or held.detail.options,
        )
        self._entries[row] = replace(held, detail=detail, picks=held.picks + 1, last=entry.last)

    def _append(self, entry: LearnedEntry, vector: Vector) -> None:
        row = len(self._entries)
        if row == len(self._vectors):
            grown: Vector = np.zeros((min(self._size, max(8, 2 * row)), len(vector)), np.float32)
            grown[:row] = self._vectors.reshape(row, len(vector))
            self._vectors = grown
        self._vectors[row] = vector
        self._entries.append(entry)
        self._index(row)

    def _index(self, row: int) -> None:
        entry = self._entries[row]
        self._asking[asking(entry.detail.description)].append(row)
        self._rows[entry.id] = row

    def _evict(self, now: int) -> None:
        worth = np.array([one.weight * 0.5 ** ((now - one.last) / _RECENCY) for one in self._entries])
        gone = max(1, int(_EVICTED * len(worth)))
        self._keep(sorted(np.argsort(worth, kind="stable")[gone:].tolist()))

    def _keep(self, kept: list[int]) -> None:
        self._entries = [self._entries[row] for row in kept]
        self._vectors[: len(kept)] = self._vectors[kept]
        self._asking.clear()
        self._rows.clear()
        for row in range(len(kept)):
            self._index(row)


def asking(description: str) -> frozenset[str]:
    """What makes two details the same: their stems, or their very words where they have none."""
    return frozenset(stems(description)) or frozenset([description.casefold()])
