"""What was asked before for requests like this one, found again by meaning and by words."""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.clients.embedding.base import Embedder, Vectors
from app.errors import BackendError, ConfigError
from app.models import Detail, Example, Origin
from app.text import stems, words

NEIGHBOURS = 20
"""How many entries `local` needs to tell a common concern from a chance one."""
_MEANING = 0.5
"""The share of cosine in the similarity; words have the rest."""
_PAUSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One request of the past and what it left open. `text` is None where it is nobody else's to read."""

    id: str
    text: str | None
    vague: bool
    details: tuple[Detail, ...]
    origin: Origin = "shipped"
    weight: float = 1.0


class Playbook:
    """Entries with their vectors (one unit row each) and an inverted index of their words.

    Where the embedder is a server and fails, entries are found by words alone.
    """

    def __init__(self, entries: Sequence[Entry], vectors: Vectors | None, embedder: Embedder) -> None:
        self._entries = tuple(entries)
        self._vectors = vectors
        self._embedder = embedder
        self._words = _WordIndex([entry.text or "" for entry in self._entries])
        self._rows: defaultdict[str, list[int]] = defaultdict(list)
        for row, entry in enumerate(self._entries):
            if entry.text is not None:
                self._rows[_normalised(entry.text)].append(row)

    @classmethod
    async def open(cls, path: Path | None, embedder: Embedder) -> Playbook:
        """Read a file of JSON lines, or all of a folder; None is an empty playbook. Raises ConfigError."""
        entries = [] if path is None else await asyncio.to_thread(_read, path)
        playbook = cls(entries, None, embedder)
        await playbook.embed()
        return playbook

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def embedded(self) -> bool:
        """Whether entries are found by meaning too."""
        return self._vectors is not None

    async def embed(self) -> None:
        """Have the vectors of all entries made; without an answer of the embedder it stays without."""
        with suppress(BackendError):
            self._vectors = await self._embedder.embed([entry.text or "" for entry in self._entries])

    async def embed_in_the_end(self, pause: float = _PAUSE_SECONDS) -> None:
        """Try again every `pause` seconds until the entries have their vectors."""
        while not self.embedded:
            await asyncio.sleep(pause)
            await self.embed()

    async def resembling(
        self,
        text: str,
        k: int = NEIGHBOURS,
        exclude_own_row: bool = False,
        also: Sequence[Example] = (),
    ) -> tuple[Example, ...]:
        """The k entries most like `text` and what was learned (`also`) in one ranking, best first.

        Similarity is the mean of the embeddings' cosine and the tf-idf cosine of the stems.
        `exclude_own_row` leaves out entries made from this very request, as a model must not be shown them.
        """
        if not self._entries or k < 1:
            return tuple(also)
        scores = await self._scores(text)
        if exclude_own_row:
            scores[self._rows.get(_normalised(text), [])] = -1.0
        best = [row for row in _top(scores, k) if scores[row] >= 0]
        shipped = [self._example(row, float(scores[row])) for row in best]
        return tuple(sorted([*shipped, *also], key=lambda example: -example.similarity))

    async def _scores(self, text: str) -> Vectors:
        """Of each entry, 0..1: shape (entries,)."""
        words = self._words.cosines(text)
        if self._vectors is None:
            return words
        try:
            vector = (await self._embedder.embed([text]))[0]
        except BackendError:
            return words
        scores: Vectors = _MEANING * (self._vectors @ vector) + (1 - _MEANING) * words
        return scores

    def _example(self, row: int, score: float) -> Example:
        entry = self._entries[row]
        return Example(
            id=entry.id,
            similarity=min(1.0, score),
            text=entry.text,
            vague=entry.vague,
            details=entry.details,
            origin=entry.origin,
            weight=entry.weight,
        )


class _WordIndex:
    """Posting lists of stems, each with the rows it is in and its share of their tf-idf norm."""

    def __init__(self, texts: Sequence[str]) -> None:
        bags = [set(stems(text)) for text in texts]
        counts = Counter(stem for bag in bags for stem in bag)
        self._size = len(texts)
        self._idf = {stem: math.log(1 + self._size / (1 + count)) for stem, count in counts.items()}
        postings: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        for row, bag in enumerate(bags):
            norm = math.sqrt(sum(self._idf[stem] ** 2 for stem in bag))
            for stem in bag:
                postings[stem].append((row, self._idf[stem] / norm))
        self._postings = {stem: _columns(posting) for stem, posting in postings.items()}

    def cosines(self, text: str) -> Vectors:
        """Of each row's stems with those of `text`: shape (rows,), 0..1."""
        scores: Vectors = np.zeros(self._size, np.float32)
        asked = set(stems(text))
        unseen = math.log(1 + self._size)
        norm = math.sqrt(sum(self._idf.get(stem, unseen) ** 2 for stem in asked))
        for stem in asked & self._postings.keys():
            rows, shares = self._postings[stem]
            scores[rows] += shares * (self._idf[stem] / norm)
        return scores


def _columns(posting: list[tuple[int, float]]) -> tuple[NDArray[np.intp], Vectors]:
    rows, shares = zip(*posting, strict=True)
    return np.array(rows, np.intp), np.array(shares, np.float32)


def _top(scores: Vectors, k: int) -> list[int]:
    """Rows of the k largest scores, largest first, ties by row."""
    k = min(k, len(scores))
    rows = np.sort(np.argpartition(-scores, k - 1)[:k])
    return [int(row) for row in rows[np.argsort(-scores[rows], kind="stable")]]


def _normalised(text: str) -> str:
    return " ".join(words(text))


def _read(path: Path) -> list[Entry]:
    if path.is_dir():
        return [entry for file in sorted(path.glob("*.jsonl")) for entry in _read(file)]
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"PLAYBOOK={path} cannot be read: {error.strerror}") from error
    return [_entry(path, number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        row: dict[str, Any] = orjson.loads(line)
        details = tuple(
            Detail(d["description"], d["question"], float(d["importance"]), tuple(d["options"]))
            for d in row["details"]
        )
        return Entry(row["id"], row["text"], row["vague"], details)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"PLAYBOOK={path}, line {number} is not an entry: {error!r}") from error
