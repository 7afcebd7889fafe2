"""Do two short texts speak of the same thing? Details with details, requests with requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.clients.embedding.base import Embedder, Vectors
from app.errors import BackendError
from app.text import content, stems

_SHARED_STEMS = 0.5
_COSINE = 0.7
"""Asking once too often is forgiven; taking one detail for another is not, so both bars are high."""


class Likeness:
    """Compares the texts it was made of, by their words and by their meaning."""

    def __init__(self, texts: Iterable[str], vectors: Mapping[str, Vectors]) -> None:
        self._stems = {text: frozenset(stems(text)) for text in texts}
        self._vectors = vectors

    @classmethod
    async def of(cls, embedder: Embedder, texts: Iterable[str]) -> Likeness:
        """One call of the embedder; where it fails, words alone compare."""
        wanted = list(dict.fromkeys(texts))
        try:
            return await cls.by_meaning(embedder, wanted)
        except BackendError:
            return cls.by_words(wanted)

    @classmethod
    async def by_meaning(cls, embedder: Embedder, texts: Iterable[str]) -> Likeness:
        """Raises BackendError."""
        wanted = list(dict.fromkeys(texts))
        rows = await embedder.embed([content(text) for text in wanted])
        return cls(wanted, dict(zip(wanted, rows, strict=True)))

    @classmethod
    def by_words(cls, texts: Iterable[str]) -> Likeness:
        """Without vectors every cosine is 0."""
        return cls(texts, {})

    def alike(self, one: str, other: str) -> bool:
        """Half of all their stems are shared, or the cosine of their content words is 0.7 or more."""
        left, right = self._stems[one], self._stems[other]
        if one == other or (left and len(left & right) >= _SHARED_STEMS * len(left | right)):
            return True
        return self.cosine(one, other) >= _COSINE

    def same_setting(self, context: str, request_text: str) -> bool:
        """What a user stated without a request holds for all of them."""
        return not context or self.alike(context, request_text)

    def cosine(self, one: str, other: str) -> float:
        """0 where a text has no vector."""
        if one not in self._vectors or other not in self._vectors:
            return 0.0
        return float(self._vectors[one] @ self._vectors[other])
