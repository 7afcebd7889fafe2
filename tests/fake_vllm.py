"""A small ASGI app that answers like vLLM 0.32, with faults on request and a record of what was asked.

In a test: `FakeVLLM()` behind `httpx.ASGITransport(app=fake)`, or under uvicorn where streaming matters.
The answers are no model's: they fill the schema that was sent, a little differently for each adapter.
"""

from __future__ import annotations

import asyncio
import re
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests import fake_answers as answers

BASE = "fake/base"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, at paths that contain `path`, for the next `times` requests (None: for ever)."""

    kind: str
    """status, hang, slow, reset, broken, empty, length or cut (a stream that ends in the middle)."""
    path: str = "/chat/completions"
    status: int = 503
    seconds: float = 0.0
    times: int | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    path: str
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class FakeVLLM:
    """`adapters` are name to path; `logprobs`, `scoring` and `systemone` are abilities a server may lack."""

    model: str = BASE
    adapters: dict[str, str] = field(default_factory=dict)
    logprobs: bool = True
    scoring: bool = True
    systemone: bool = False
    requests: list[Recorded] = field(default_factory=list)
    pause: float = 0.0
    """Seconds between the pieces of a stream."""
    completed: int = 0
    """Streams that were sent to their end."""
    abandoned: int = 0
    """Requests whose client went away before the answer was complete."""

    def __post_init__(self) -> None:
        self.suffering = asyncio.Event()
        """Set once a request hangs."""
        self.left = asyncio.Event()
        """Set once a client went away."""
        self.took = asyncio.Event()
        """Set once an adapter was loaded."""
        self._faults: list[list[Any]] = []
        post = ["POST"]
        routes = [
            Route("/v1/chat/completions", self._chat, methods=post),
            Route("/v1/models", self._models),
            Route("/v1/load_lora_adapter", self._load, methods=post),
            Route("/v1/unload_lora_adapter", self._unload, methods=post),
            Route("/v1/systemone", self._systemone, methods=post),
            Route("/tokenize", self._tokenize, methods=post),
            Route("/version", lambda _: JSONResponse({"version": "0.32.0"})),
            Route("/health", lambda _: Response()),
        ]
        if self.scoring:
            routes.append(Route("/generative_scoring", self._score, methods=post))
        self._app = Starlette(routes=routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def fail(self, kind: str, **more: Any) -> None:
        """From now on, go wrong like this."""
        fault = Fault(kind, **more)
        self._faults.append([fault, fault.times])

    def heal(self) -> None:
        self._faults.clear()

    def asked(self, path: str) -> list[dict[str, Any]]:
        """The bodies sent to paths that end in `path`, in order."""
        return [one.body for one in self.requests if one.path.endswith(path)]

    async def _chat(self, request: Request) -> Response:
        body = await self._take(request)
        fault = self._fault(request.url.path)
        if fault and (failed := await self._suffer(fault)):
            return failed
        if unknown := self._unknown(body):
            return unknown
        text, finish = answers.answer(body), "stop"
        if fault and fault.kind in {"broken", "empty", "length"}:
            text = {"broken": text[: len(text) // 2], "empty": "", "length": text[:-3]}[fault.kind]
            finish = "length" if fault.kind == "length" else "stop"
        if body.get("stream"):
            cut = fault is not None and fault.kind == "cut"
            return StreamingResponse(self._chunks(body, text, finish, cut), media_type="text/event-stream")
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        if body.get("logprobs") and self.logprobs:
            choice["logprobs"] = answers.logprobs(body)
        return JSONResponse(
            {
                **answers.envelope(body, "chat.completion"),
                "choices": [choice],
                "usage": answers.usage(body, text),
            }
        )

    async def _chunks(self, body: dict[str, Any], text: str, finish: str, cut: bool) -> AsyncIterator[str]:
        head = answers.envelope(body, "chat.completion.chunk")
        sent = False
        try:
            pieces = re.findall(r".{1,7}", text, re.DOTALL)
            for index, piece in enumerate(pieces):
                if cut and index > len(pieces) // 2:
                    raise ConnectionResetError("cut on request")
                delta = {"index": 0, "delta": {"content": piece}, "finish_reason": None}
                yield answers.event({**head, "choices": [delta]})
                await asyncio.sleep(self.pause)
            yield answers.event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            yield answers.event({**head, "choices": [], "usage": answers.usage(body, text)})
            yield "data: [DONE]\n\n"
            sent = True
        finally:
            self.completed += sent
            if not sent:
                self._abandon()

    async def _models(self, request: Request) -> Response:
        fault = self._fault(request.url.path)
        if fault and (failed := await self._suffer(fault)):
            return failed
        base = {
            "id": self.model,
            "object": "model",
            "root": self.model,
            "parent": None,
            "max_model_len": 4096,
        }
        cards = [
            {"id": name, "object": "model", "root": path, "parent": self.model, "max_model_len": None}
            for name, path in self.adapters.items()
        ]
        return JSONResponse({"object": "list", "data": [base, *cards]})

    async def _load(self, request: Request) -> Response:
        body = await self._take(request)
        name, path = body["lora_name"], body["lora_path"]
        if name in self.adapters:
            text = f"The lora adapter '{name}' has already been loaded."
            return answers.error(400, text, "InvalidUserInput")
        if "missing" in path:
            return answers.error(404, f"No adapter found for '{name}'.", "NotFoundError")
        self.adapters[name] = path
        self.took.set()
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: Request) -> Response:
        body = await self._take(request)
        if self.adapters.pop(body["lora_name"], None) is None:
            return answers.error(
                404, f"The lora adapter '{body['lora_name']}' cannot be found.", "NotFoundError"
            )
        return PlainTextResponse(f"Success: LoRA adapter '{body['lora_name']}' removed successfully.")

    async def _systemone(self, request: Request) -> Response:
        body = await self._take(request)
        if not self.systemone:
            return answers.error(
                501, "The model does not support the structured decision API", "NotImplementedError"
            )
        if unknown := self._unknown(body):
            return unknown
        state = body["state"]
        beliefs = {
            key: {"type": "noul", "noul": answers.belief(state[key] if isinstance(state, dict) else state)}
            for key in body["questions"]
        }
        return JSONResponse({"id": "sd", "model": body["model"], "answers": beliefs, "diagnostics": {}})

    async def _tokenize(self, request: Request) -> Response:
        body = await self._take(request)
        tokens = [zlib.crc32(word.encode()) % 49152 for word in re.findall(r" ?\w+|[^\w\s]", body["prompt"])]
        return JSONResponse({"count": len(tokens), "max_model_len": 4096, "tokens": tokens})

    async def _score(self, request: Request) -> Response:
        body = await self._take(request)
        fault = self._fault(request.url.path)
        if fault and (failed := await self._suffer(fault)):
            return failed
        if unknown := self._unknown(body):
            return unknown
        data = [
            {"index": index, "object": "score", "score": answers.belief(item)}
            for index, item in enumerate(body["items"])
        ]
        usage = {"prompt_tokens": 9, "total_tokens": 10, "completion_tokens": 1}
        return JSONResponse(
            {"id": "gs", "object": "list", "model": body["model"], "data": data, "usage": usage}
        )

    async def _take(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = await request.json()
        self.requests.append(Recorded(request.url.path, body, dict(request.headers)))
        return body

    def _fault(self, path: str) -> Fault | None:
        for entry in self._faults:
            fault, left = entry
            if fault.path in path and left != 0:
                entry[1] = None if left is None else left - 1
                return fault  # type: ignore[no-any-return]
        return None

    async def _suffer(self, fault: Fault) -> Response | None:
        if fault.kind == "status":
            return answers.error(fault.status, "on request", "ServiceUnavailable")
        if fault.kind == "reset":
            raise httpx.ReadError("reset on request")
        if fault.kind in {"hang", "slow"}:
            self.suffering.set()
            try:
                await asyncio.sleep(3600 if fault.kind == "hang" else fault.seconds)
            except asyncio.CancelledError:
                self._abandon()
                raise
        return None

    def _abandon(self) -> None:
        self.abandoned += 1
        self.left.set()

    def _unknown(self, body: dict[str, Any]) -> Response | None:
        if body.get("model") in {self.model, *self.adapters}:
            return None
        aliases = ", ".join([self.model, *self.adapters])
        text = f"The model `{body.get('model')}` does not exist. Valid aliases: {aliases}"
        return answers.error(404, text, "NotFoundError", "model")
