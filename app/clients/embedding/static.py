"""WordLlama: token vectors averaged, no network and no GPU; the weights come in its wheel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np

from app.clients.embedding.base import Vectors
from app.text import words

_INLINE = 64
"""Up to so many texts the event loop is held for less than a thread would cost."""


class StaticEmbedder:
    """Embeds with `l2_supercat` at 256 dimensions, about 0.1 ms for a sentence."""

    name = "wordllama-l2_supercat-256"
    dimensions = 256

    def __init__(self) -> None:
        wordllama = _wordllama()
        package = Path(str(wordllama.__file__)).parent
        model: Any = wordllama.WordLlama.load(cache_dir=package, dim=self.dimensions, disable_download=True)
        self._table = cast(Vectors, model.embedding)
        self._tokenizer: Any = model.tokenizer
        # Padding would make one long text cost its length for every text beside it.
        self._tokenizer.no_padding()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit rows of shape (len(texts), 256); a text without words gives a row of zeros."""
        if len(texts) <= _INLINE:
            return self._embed(texts)
        return await asyncio.to_thread(self._embed, texts)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = np.zeros((len(texts), self.dimensions), np.float32)
        # Lone surrogates cannot be encoded for the tokenizer, which is written in Rust.
        readable = {i: t.encode("utf-8", "replace").decode() for i, t in enumerate(texts) if words(t)}
        encoded = self._tokenizer.encode_batch_fast(list(readable.values()), add_special_tokens=False)
        for row, tokens in zip(readable, encoded, strict=True):
            mean = self._table[tokens.ids].mean(axis=0)
            vectors[row] = mean / np.linalg.norm(mean)
        return vectors

    async def aclose(self) -> None:
        """Nothing is held open."""


def _wordllama() -> ModuleType:
    """The package, without its `logging.basicConfig(level=INFO)`: logging is the program's to set up."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    package = import_module("wordllama")
    root.handlers[:] = handlers
    root.setLevel(level)
    return package
