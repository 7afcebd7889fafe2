"""One vLLM replica, examined: the tokens it sees, how likely it finds them, what it answers, how fast."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from app.clients.slm import parsing, schemas
from app.clients.slm.base import ProbedAnswer
from app.clients.slm.failures import translated
from app.errors import BackendAnswerInvalid

_LIKELIEST = 20
"""Tokens of each place; more than vLLM's --max-logprobs allows are refused."""
Place = tuple[int, Mapping[int, float]]
"""The token that was written, and the log-probability of each likely one, nats."""


class VLLMProbe:
    """An AdapterProbe. `model` is an adapter's name, or the base model's own."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        timeout: float = 120.0,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`url` with or without /v1; `timeout` in seconds for one answer."""
        self.url = url.rstrip("/").removesuffix("/v1")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            transport=transport, headers=headers, timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0))
        )

    async def prompt_ids(self, model: str, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        body = {"model": model, "messages": list(messages), "add_generation_prompt": True}
        answer = await self._post("/tokenize", body)
        try:
            return tuple(int(token) for token in answer["tokens"])
        except (KeyError, TypeError, ValueError) as error:
            raise BackendAnswerInvalid(f"{self.url}/tokenize answered no tokens.") from error

    async def logprobs(self, model: str, prompt: Sequence[int], after: Sequence[int]) -> tuple[float, ...]:
        # Never by prompt_logprobs: with LoRA the engine of vLLM 0.32 dies of it, under all its users. The
        # server writes by itself instead; where it takes another token, it goes on behind the right one.
        found: list[float] = []
        while len(found) < len(after):
            done = len(found)
            places = await self._written(model, [*prompt, *after[:done]], len(after) - done)
            for token, (written, likely) in zip(after[done:], places, strict=False):
                found.append(likely.get(token, -math.inf))
                if written != token:
                    break
        return tuple(found)

    async def _written(self, model: str, prompt: Sequence[int], most: int) -> list[Place]:
        """One place or more."""
        body = {
            "model": model,
            "prompt": prompt,
            "max_tokens": most,
            "temperature": 0.0,
            "logprobs": _LIKELIEST,
            "return_tokens_as_token_ids": True,
            "ignore_eos": True,
        }
        answer = await self._post("/v1/completions", body)
        try:
            told = answer["choices"][0]["logprobs"]
            columns = zip(told["tokens"], told["token_logprobs"], told["top_logprobs"], strict=True)
            places = [_place(*column) for column in columns]
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise BackendAnswerInvalid(f"{self.url} answered no log-probabilities.") from error
        if not places:
            raise BackendAnswerInvalid(f"{self.url} wrote no token.")
        return places

    async def answer(
        self, model: str, messages: Sequence[Mapping[str, str]], most_tokens: int, count: int | None = None
    ) -> ProbedAnswer:
        body: dict[str, Any] = {
            "model": model,
            "messages": list(messages),
            "max_tokens": most_tokens,
            "temperature": 0.0,
        }
        if count is not None:
            schema = {"name": "hypotheses", "schema": schemas.hypotheses(count)}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        began = time.perf_counter()
        answer = await self._post("/v1/chat/completions", body)
        seconds = time.perf_counter() - began
        try:
            text = str(answer["choices"][0]["message"]["content"] or "")
        except (KeyError, IndexError, TypeError) as error:
            raise BackendAnswerInvalid(f"{self.url} answered no message.") from error
        return ProbedAnswer(text, seconds, _is_valid(text, count))

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        with translated(self.url, str(body["model"])):
            response = await self._http.post(f"{self.url}{path}", json=body)
            response.raise_for_status()
            answer = response.json()
        if not isinstance(answer, dict):
            raise BackendAnswerInvalid(f"{self.url}{path} answered something else than an object.")
        return answer


def _place(token: str, logprob: float, likeliest: Mapping[str, float]) -> Place:
    found = {_id(name): float(value) for name, value in likeliest.items()}
    return _id(token), {**found, _id(token): float(logprob)}


def _id(token: str) -> int:
    return int(token.removeprefix("token_id:"))


def _is_valid(text: str, count: int | None) -> bool:
    try:
        parsing.hypotheses(text, parsing.HypothesisReader(count or 5, "vllm"))
    except BackendAnswerInvalid:
        return False
    return True
