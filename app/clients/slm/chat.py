"""One OpenAI-compatible server: a request in, a reply out, no tasks yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx
import openai

from app.clients.slm.base import Call, Usage
from app.clients.slm.failures import translated
from app.clients.slm.prompts import Message
from app.clients.slm.sampling import Sampling
from app.clients.slm.schemas import Schema
from app.errors import BackendAnswerInvalid, BackendTimeout


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What one request says; temperature, top_p and max_tokens are always sent."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling
    name: str = "answer"
    schema: Schema | None = None
    top_logprobs: int = 0
    body: Mapping[str, Any] = field(default_factory=dict)
    """Fields beyond the protocol."""
    headers: Mapping[str, str] = field(default_factory=dict)
    adapter: str | None = None
    """Set where `model` is an adapter's name: a 404 then means that there is no such adapter."""


@dataclass(frozen=True, slots=True)
class ChatReply:
    text: str
    finish_reason: str
    model: str
    usage: Usage
    first_token: Mapping[str, float] | None = None
    """Log-probabilities of the likeliest first tokens; None where the server does not tell."""

    @property
    def truncated(self) -> bool:
        return self.finish_reason == "length"


class ChatServer:
    """Holds the connections. It never retries: a wrapper does, so that all waiting is counted once."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None = None,
        max_connections: int = 64,
    ) -> None:
        """`base_url` ends in /v1; `timeout` in seconds bounds every request as a whole."""
        self.url = base_url.rstrip("/")
        self.timeout = timeout
        key = api_key or "EMPTY"
        self.http = httpx.AsyncClient(
            transport=transport,
            headers={"Authorization": f"Bearer {key}"},
            limits=httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections),
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
        )
        self._openai = openai.AsyncOpenAI(
            api_key=key,
            base_url=self.url,
            max_retries=0,
            timeout=timeout,
            http_client=self.http,  # type: ignore[arg-type]  # typed for httpx2, takes httpx as well
        )

    def seconds(self, call: Call) -> float:
        """How long a request may take now; BackendTimeout, without asking, where nothing is left."""
        seconds = min(self.timeout, call.remaining())
        if seconds <= 0:
            late = BackendTimeout("No time was left to ask the backend.")
            late.calls = 0
            raise late
        return seconds

    async def complete(self, request: ChatRequest, call: Call) -> ChatReply:
        """The whole reply; raises BackendError, UnknownAdapter.

        Posted without the SDK, which takes 2 ms to walk through messages and schema before it sends them.
        """
        response = await self.post(
            f"{self.url}/chat/completions",
            {**_body(request), **request.body},
            call,
            request.headers,
            request.adapter,
        )
        with translated(self.url, request.adapter):
            response.raise_for_status()
            answer = response.json()
        try:
            return _reply(answer, request)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise BackendAnswerInvalid("The answer holds no choice.") from error

    async def post(
        self, url: str, body: Mapping[str, Any], call: Call, headers: Mapping[str, str], adapter: str | None
    ) -> httpx.Response:
        """Whatever the server at `url` answers, errors too; raises BackendTimeout, BackendUnavailable."""
        seconds = self.seconds(call)
        with translated(url, adapter):
            async with asyncio.timeout(seconds):
                return await self.http.post(url, json=body, headers=_headers(call, headers), timeout=seconds)

    async def stream(self, request: ChatRequest, call: Call) -> AsyncGenerator[str | ChatReply]:
        """Pieces of the text as they come, then the whole reply. Closing this closes the request."""
        until = asyncio.get_running_loop().time() + self.seconds(call)
        text, finish, model, usage = "", "", request.model, Usage(calls=1)
        async with aclosing(self._chunks(request, call, until)) as chunks:
            async for chunk in chunks:
                model = chunk.model or model
                usage = _usage(chunk.usage.model_dump()) if chunk.usage else usage
                for choice in chunk.choices or ():
                    finish = choice.finish_reason or finish
                    if piece := choice.delta.content:
                        text += piece
                        yield piece
        yield ChatReply(text, finish, model, usage)

    async def _chunks(self, request: ChatRequest, call: Call, until: float) -> AsyncGenerator[Any]:
        fields = _body(request) | {"stream": True, "stream_options": {"include_usage": True}}
        with translated(self.url, request.adapter):
            async with asyncio.timeout_at(until):
                stream = await self._openai.chat.completions.create(
                    **fields,
                    extra_headers=_headers(call, request.headers),
                    extra_body=dict(request.body) or None,
                    timeout=self.seconds(call),
                )
            try:
                chunks = aiter(stream)
                while True:
                    # Round each step alone: a timeout that spanned the yield would cancel the reader.
                    async with asyncio.timeout_at(until):
                        chunk = await anext(chunks, None)
                    if chunk is None:
                        return
                    yield chunk
            finally:
                await stream.close()

    async def models(self, seconds: float) -> list[Mapping[str, Any]]:
        """The cards of /v1/models."""
        with translated(self.url):
            async with asyncio.timeout(seconds):
                response = await self.http.get(f"{self.url}/models")
            response.raise_for_status()
            cards = response.json()
        if not isinstance(cards, dict) or not isinstance(cards.get("data"), list):
            raise BackendAnswerInvalid(f"{self.url}/models is not a list of models.")
        return [card for card in cards["data"] if isinstance(card, dict)]

    async def aclose(self) -> None:
        await self._openai.close()


def _body(request: ChatRequest) -> dict[str, Any]:
    """The fields of the protocol."""
    fields: dict[str, Any] = {
        "model": request.model,
        "messages": list(request.messages),
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "max_tokens": request.sampling.max_tokens,
    }
    if request.schema is not None:
        schema = {"name": request.name, "schema": request.schema}
        fields["response_format"] = {"type": "json_schema", "json_schema": schema}
    if request.top_logprobs:
        fields |= {"logprobs": True, "top_logprobs": request.top_logprobs}
    return fields


def _headers(call: Call, further: Mapping[str, str]) -> dict[str, str]:
    return {**({"X-Request-Id": call.request_id} if call.request_id else {}), **further}


def _reply(answer: dict[str, Any], request: ChatRequest) -> ChatReply:
    """Raises AttributeError, IndexError, KeyError or TypeError where `answer` is no completion."""
    choice = answer["choices"][0]
    return ChatReply(
        choice["message"].get("content") or "",
        choice.get("finish_reason") or "",
        answer.get("model") or request.model,
        _usage(answer.get("usage")),
        _first_token(choice.get("logprobs")),
    )


def _usage(usage: Mapping[str, Any] | None) -> Usage:
    usage = usage or {}
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    return Usage(usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0, cached or 0, 1)


def _first_token(logprobs: Mapping[str, Any] | None) -> Mapping[str, float] | None:
    content = (logprobs or {}).get("content")
    if not content:
        return None
    first = content[0]
    return {top["token"]: top["logprob"] for top in first.get("top_logprobs") or (first,)}
