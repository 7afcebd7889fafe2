"""BM25 over short texts, told as the share of the query's information that a text holds.

Weights are Robertson and Zaragoza's (The Probabilistic Relevance Framework, 2009), kept in one
inverted index of numpy arrays, so that a query costs as much as the postings of its words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.text import stems

SATURATION = 0.5
"""k1: in a text of one or two sentences a word said twice tells little more than said once."""
LENGTH_NORM = 0.3
"""b: the length of a remembered sentence says little about how much it repeats itself."""

Scores = NDArray[np.float32]


class WordIndex:
    """Which of a fixed list of texts hold which stems, and how much each is worth."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._size = len(texts)
        self._terms: dict[str, int] = {}
        lengths, term_ids = self._read(texts)
        rows = np.repeat(np.arange(self._size), lengths)
        pairs, counts = np.unique(term_ids * max(1, self._size) + rows, return_counts=True)
        terms, self._rows = np.divmod(pairs, max(1, self._size))
        held_by = np.bincount(terms, minlength=len(self._terms))
        self._starts = np.concatenate(([0], np.cumsum(held_by)))
        self._idf = _idf(held_by, self._size)
        self._unseen = float(_idf(np.zeros(1), self._size)[0])
        self._weights = self._weigh(terms, counts, lengths)

    def _read(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many stems each text has, and the number of every stem, text after text."""
        numbers = self._terms
        lengths = np.zeros(len(texts), np.int64)
        found: list[int] = []
        for row, text in enumerate(texts):
            ids = [numbers.setdefault(stem, len(numbers)) for stem in stems(text)]
            lengths[row] = len(ids)
            found += ids
        return lengths, np.array(found, np.int64)

    def _weigh(
        self, terms: NDArray[np.int64], counts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Scores:
        """BM25 over (k1 + 1), so that no text earns more for a word than the word's idf."""
        relative = lengths / max(1.0, float(lengths.mean())) if self._size else lengths.astype(float)
        room = SATURATION * (1 - LENGTH_NORM + LENGTH_NORM * relative[self._rows])
        return (self._idf[terms] * counts / (counts + room)).astype(np.float32)

    def shares(self, query: str) -> Scores:
        """For each text the part of the query's idf mass that it matches, in 0..1.

        Words that no text holds count in the mass: a query mostly of unknown words gives low
        shares everywhere, and so leaves the ranking to meaning.
        """
        shares = np.zeros(self._size, np.float32)
        mass = 0.0
        for stem in sorted(set(stems(query))):
            term = self._terms.get(stem)
            mass += self._unseen if term is None else float(self._idf[term])
            if term is not None:
                held = slice(self._starts[term], self._starts[term + 1])
                shares[self._rows[held]] += self._weights[held]
        return shares / np.float32(mass) if mass else shares


def _idf(held_by: NDArray[np.generic], size: int) -> NDArray[np.float64]:
    """Lucene's form, which is never negative."""
    held = held_by.astype(np.float64)
    return np.log1p((size - held + 0.5) / (held + 0.5))
