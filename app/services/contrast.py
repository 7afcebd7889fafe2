"""What the chosen has and the rejected lack, told by words: the rule by which options are ordered.

Each word of a candidate votes: its nearest word in the chosen text counts for it, its nearest word
in each rejected text, averaged over those, against it. Nearness is the cube of the cosine of two
word vectors, so that synonyms count and the vague likeness of any two words does not. A score is
the mean vote, -1..1. Three things follow from how options are worded:

* what all rejected share outweighs what one of them has, for it is what was turned down;
* a negated word ("without crafting", "low pollen") votes the other way, on either side;
* words of the question at hand do not vote, for every candidate is about them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.clients.embedding.base import Vectors
from app.text import STOP_WORDS, stem, words

NEGATIONS = frozenset(
    """no not non never without avoid avoids avoiding lack lacks lacking minimal low lower less fewer
    little limited instead rather dont doesnt isnt cant wont""".split()  # noqa: SIM905 - reads better
)
_NEGATED_WORDS = 2
"""How many words with content a negation reaches: "minimal resource management"."""
_SHARPNESS = 3

Votes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Bag:
    """The words of a text that can vote, each with +1, or -1 where it is negated."""

    words: tuple[str, ...]
    signs: tuple[int, ...]


def bag(text: str, without: Collection[str] = ()) -> Bag:
    """`without` holds stems that do not vote; where nothing else is left, they do."""
    signed = _signed(text)
    kept = [pair for pair in signed if stem(pair[0]) not in without] or signed
    return Bag(tuple(word for word, _ in kept), tuple(sign for _, sign in kept))


def _signed(text: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    negated = 0
    for word in words(text):
        if word in NEGATIONS:
            negated = _NEGATED_WORDS
        elif word == "free" and found:  # as in "sugar-free"
            found[-1] = (found[-1][0], -1)
        elif word not in STOP_WORDS:
            found.append((word, -1 if negated else 1))
            negated = max(0, negated - 1)
    return found


class Contrast:
    """Candidates laid out once, to be compared with any number of choices."""

    def __init__(self, candidates: Sequence[Bag], vectors: Mapping[str, Vectors]) -> None:
        """`vectors` holds a unit vector for every word, or nothing: then only equal stems are near."""
        self._vectors = vectors
        self._count = len(candidates)
        self._owners = np.repeat(np.arange(self._count), [len(each.words) for each in candidates])
        self._sizes = np.maximum(1, np.bincount(self._owners, minlength=self._count))
        self._all = Bag(
            tuple(word for each in candidates for word in each.words),
            tuple(sign for each in candidates for sign in each.signs),
        )

    def scores(self, chosen: Bag, rejected: Sequence[Bag]) -> NDArray[np.float64]:
        """One mean vote for each candidate, shape (candidates,)."""
        votes = self._nearest(chosen)
        if rejected:
            votes = votes - np.mean([self._nearest(each) for each in rejected], axis=0)
        return np.bincount(self._owners, weights=votes, minlength=self._count) / self._sizes

    def _nearest(self, option: Bag) -> Votes:
        """For each word of the candidates its strongest match in the option, signed."""
        if not option.words or not self._all.words:
            return np.zeros(len(self._all.words), np.float32)
        signs = np.outer(self._all.signs, option.signs)
        strengths = self._strengths(option)
        strongest = strengths.argmax(axis=1)
        each = np.arange(len(strongest))
        votes: Votes = strengths[each, strongest] * signs[each, strongest]
        return votes

    def _strengths(self, option: Bag) -> Votes:
        if not self._vectors:
            theirs = np.array([stem(word) for word in option.words])
            ours = np.array([stem(word) for word in self._all.words])
            equal: Votes = np.equal.outer(ours, theirs).astype(np.float32)
            return equal
        cosines = self._matrix(self._all.words) @ self._matrix(option.words).T
        strengths: Votes = np.clip(cosines, 0.0, 1.0) ** _SHARPNESS
        return strengths

    def _matrix(self, of: Sequence[str]) -> Vectors:
        return np.array([self._vectors[word] for word in of])
