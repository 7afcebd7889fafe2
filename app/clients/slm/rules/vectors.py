"""Vectors of texts that come again and again, such as the details of a playbook."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.clients.embedding.base import Embedder, Vectors


class CachedVectors:
    """An embedder with a memory of the last `size` texts (1 kB each at 256 dimensions)."""

    def __init__(self, embedder: Embedder, size: int = 16_384) -> None:
        self._embedder = embedder
        self._size = size
        self._known: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    async def of(self, texts: Sequence[str]) -> Vectors:
        """Unit rows of shape (len(texts), dimensions); raises BackendError as the embedder does."""
        rows = {text: self._known[text] for text in texts if text in self._known}
        missing = [text for text in dict.fromkeys(texts) if text not in rows]
        if missing:
            rows |= zip(missing, await self._embedder.embed(missing), strict=True)
        for text in texts:
            self._known[text] = rows[text]
            self._known.move_to_end(text)
        while len(self._known) > self._size:
            self._known.popitem(last=False)
        if not texts:
            return np.zeros((0, self._embedder.dimensions), np.float32)
        return np.stack([rows[text] for text in texts])
