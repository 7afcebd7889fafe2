"""JSON at the door: strict UTF-8 in, orjson out. Lone surrogates and too deep nesting are refused."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

_DEEPEST = 32


def encode(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


class JSON(Response):
    """An answer that services built as JSON types already; it is not validated a second time."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return encode(content)


class StrictRequest(Request):
    """A request whose body is bounded by `app.state.max_body_bytes` and decoded strictly."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            limit: int = self.app.state.max_body_bytes
            chunks, size = [], 0
            async for chunk in self.stream():
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise HTTPException(413, f"The body is larger than MAX_BODY_BYTES={limit}.")
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            try:
                decoded = orjson.loads(await self.body())
            except orjson.JSONDecodeError as error:
                raise HTTPException(400, f"The body is not JSON in UTF-8: {error.msg}") from None
            if _depth(decoded) > _DEEPEST:
                raise HTTPException(400, f"The body is nested deeper than {_DEEPEST} levels")
            self._json = decoded
        return self._json


class StrictRoute(APIRoute):
    """A route whose requests are StrictRequests."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level and depth <= _DEEPEST:
        level = [
            inner
            for outer in level
            for inner in (
                outer.values() if isinstance(outer, dict) else outer if isinstance(outer, list) else ()
            )
        ]
        depth += 1
    return depth
