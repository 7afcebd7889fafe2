"""The embedder for when there is none: nothing resembles anything by meaning, so words decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.clients.embedding.base import Vectors


class WordlessEmbedder:
    """Rows of zeros, as the seam allows for a text without words. Never for what is to be stored."""

    name = "none"
    dimensions = 1

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Zeros of shape (len(texts), 1)."""
        return np.zeros((len(texts), self.dimensions), np.float32)

    async def aclose(self) -> None:
        """Nothing is held open."""
