"""An embedder that remembers: words, facets and queries come again and again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from app.clients.embedding.base import Embedder, Vectors


class CachedEmbedder:
    """Wraps an embedder and keeps the vectors of the short texts asked for last."""

    def __init__(self, inner: Embedder, size: int = 20_000, longest: int = 200) -> None:
        """At most `size` texts of at most `longest` characters: 20 MB at 256 dimensions."""
        self.name, self.dimensions = inner.name, inner.dimensions
        self._inner, self._size, self._longest = inner, size, longest
        self._held: OrderedDict[str, Vectors] = OrderedDict()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As the wrapped embedder, which is asked once, for what is not held. Raises BackendError."""
        found = {text: self._held[text] for text in texts if text in self._held}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        fresh = dict(zip(missing, await self._inner.embed(missing), strict=True)) if missing else {}
        found |= fresh
        self.dimensions = self._inner.dimensions  # a server's are known from its first answer on
        rows = [found[text] for text in texts]
        self._keep(texts, fresh)
        return np.array(rows, np.float32).reshape(len(texts), self.dimensions)

    async def aclose(self) -> None:
        """Closes the wrapped embedder."""
        await self._inner.aclose()

    def _keep(self, texts: Sequence[str], fresh: dict[str, Vectors]) -> None:
        for text in texts:
            if text in self._held:
                self._held.move_to_end(text)
        for text, vector in fresh.items():
            if len(text) <= self._longest:
                self._held[text] = vector.copy()  # a row would keep its whole batch alive
        while len(self._held) > self._size:
            self._held.popitem(last=False)
