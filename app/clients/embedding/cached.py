"""An embedder that remembers: details, facets and queries come again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from app.clients.embedding.base import Embedder, Vectors


class CachedEmbedder:
    """Wraps an embedder and keeps the vectors of the short texts asked for last."""

    def __init__(self, inner: Embedder, size: int = 20_000, longest: int = 400) -> None:
        """At most `size` texts of at most `longest` characters: 20 MB at 256 dimensions."""
        self.name, self.dimensions = inner.name, inner.dimensions
        self._inner, self._size, self._longest = inner, size, longest
        self._rows: OrderedDict[str, int] = OrderedDict()
        """Of each text held its row in `_table`, the text used last at the end."""
        self._table: Vectors = np.empty((0, self.dimensions), np.float32)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As the wrapped embedder, which is asked once, for what is not held. Raises BackendError."""
        rows = [self._rows.get(text, -1) for text in texts]
        if -1 in rows:
            return await self._completed(texts, rows)
        for text in texts:
            self._rows.move_to_end(text)
        return self._table[rows] if rows else np.empty((0, self.dimensions), np.float32)

    async def aclose(self) -> None:
        """Closes the wrapped embedder."""
        await self._inner.aclose()

    async def _completed(self, texts: Sequence[str], rows: list[int]) -> Vectors:
        """The same where some rows are -1: not held."""
        missing = list(dict.fromkeys(text for text, row in zip(texts, rows, strict=True) if row < 0))
        found = {text: self._table[row].copy() for text, row in zip(texts, rows, strict=True) if row >= 0}
        fresh = await self._inner.embed(missing)
        self.dimensions = self._inner.dimensions  # a server's are known from its first answer on
        found |= zip(missing, fresh, strict=True)
        for text in found:
            self._keep(text, found[text])
        return np.array([found[text] for text in texts], np.float32)

    def _keep(self, text: str, vector: Vectors) -> None:
        if len(text) > self._longest:
            return
        if self._table.shape != (self._size, self.dimensions):
            self._rows.clear()
            self._table = np.empty((self._size, self.dimensions), np.float32)
        if text in self._rows:
            row = self._rows.pop(text)
        elif len(self._rows) == self._size:
            row = self._rows.popitem(last=False)[1]
        else:
            row = len(self._rows)
        self._rows[text] = row
        self._table[row] = vector
