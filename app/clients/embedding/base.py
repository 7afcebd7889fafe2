"""The embedder seam: texts to unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Turns texts into vectors of one length."""

    name: str
    """Which embedder and model; vectors of different names are never compared."""
    dimensions: int

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Rows of shape (len(texts), dimensions), each of L2 norm 1, or 0 for a text without words.

        Raises BackendError where a server is asked and fails.
        """
        ...

    async def aclose(self) -> None: ...
