"""An embedder that is a server: whatever speaks the OpenAI embeddings protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from app.clients.embedding.base import Vectors
from app.clients.slm.failures import translated
from app.errors import BackendAnswerInvalid

_BATCH = 64
_CONNECTIONS = 8


class HTTPEmbedder:
    """POST {base_url}/embeddings, at most 64 texts at a time, one batch after another."""

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        timeout: float = 10.0,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`base_url` ends in /v1; `timeout` is in seconds, for one batch."""
        self.name = f"http-{model}"
        self.dimensions = 0
        """The model's, known from its first answer on."""
        self._model = model
        self._client = httpx.AsyncClient(
            base_url=base_url,
            headers={"authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=timeout,
            limits=httpx.Limits(max_connections=_CONNECTIONS),
            transport=transport,
        )

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Unit rows of shape (len(texts), dimensions); zeros for a text of white space only.

        Raises BackendTimeout, BackendUnavailable, BackendRejected, BackendAnswerInvalid.
        """
        readable = {row: text.encode("utf-8", "replace").decode() for row, text in enumerate(texts)}
        wanted = [row for row, text in readable.items() if text.strip()]
        if not wanted and texts and not self.dimensions:
            await self._ask(["."])  # how long the rows of zeros are to be, only the server knows
        batches = [wanted[start : start + _BATCH] for start in range(0, len(wanted), _BATCH)]
        answers = [await self._ask([readable[row] for row in batch]) for batch in batches]
        vectors = np.zeros((len(texts), self.dimensions), np.float32)
        for batch, answer in zip(batches, answers, strict=True):
            vectors[batch] = answer
        return vectors

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _ask(self, texts: Sequence[str]) -> Vectors:
        with translated("The embedding server"):
            body = {"model": self._model, "input": texts, "encoding_format": "float"}
            response = await self._client.post("embeddings", json=body)
            response.raise_for_status()
            answer = response.json()
        vectors = _rows(answer, len(texts))
        if self.dimensions not in {0, vectors.shape[1]}:
            raise BackendAnswerInvalid("The embedding server changed the length of its vectors.")
        self.dimensions = vectors.shape[1]
        return vectors


def _rows(answer: Any, count: int) -> Vectors:
    """The answer's vectors by their `index`, each brought to norm 1."""
    try:
        listed = sorted(answer["data"], key=lambda row: row["index"])
        vectors: Vectors = np.array([row["embedding"] for row in listed], np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise BackendAnswerInvalid("The embedding server's answer has no vectors.") from error
    if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
        raise BackendAnswerInvalid(f"The embedding server sent {vectors.shape} for {count} texts.")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.where(lengths > 0, lengths, np.float32(1))
    return vectors
