"""A small server that speaks the OpenAI embeddings protocol: vectors of words, hashed; it can be away."""

from __future__ import annotations

import hashlib

import numpy as np
import orjson
from starlette.types import Receive, Scope, Send

from app.text import stems

DIMENSIONS = 64


class FakeEmbeddings:
    """`away = True` makes it answer 503."""

    def __init__(self) -> None:
        self.away = False
        self.requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.requests += 1
        texts = orjson.loads(body)["input"]
        rows = [{"index": i, "embedding": vector(text)} for i, text in enumerate(texts)]
        answer = orjson.dumps({"error": {"message": "away"}} if self.away else {"data": rows})
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 503 if self.away else 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


def vector(text: str) -> list[float]:
    """A bag of stems, each at a place that its hash tells."""
    row = np.zeros(DIMENSIONS)
    for stem in stems(text) or [text]:
        row[hashlib.sha256(stem.encode()).digest()[0] % DIMENSIONS] += 1.0
    listed: list[float] = row.tolist()
    return listed
