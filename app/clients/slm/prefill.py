"""Decisions by prefill alone: vLLM reads the next token's probabilities and generates nothing.

All items go in one request to a replica's root path, past any router: routers spread what belongs together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import httpx

from app.clients.slm.base import Call, Usage
from app.clients.slm.chat import ChatServer
from app.clients.slm.decisions import NO, YES, Decision
from app.clients.slm.failures import translated
from app.clients.slm.judging import Judgement
from app.clients.slm.quoting import quoted
from app.errors import BackendAnswerInvalid, NotSupported

_MOST_QUESTIONS = 64
"""The limit of /v1/systemone."""


@dataclass(frozen=True, slots=True)
class Asker:
    """In whose name a decision is asked."""

    model: str
    adapter: str | None
    body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Prefill:
    """Asks `/v1/systemone` where the last probe found it, else `/generative_scoring`.

    What a server lacks is remembered until the next probe.
    """

    def __init__(self, server: ChatServer, replicas: Sequence[str]) -> None:
        self._server = server
        self._replicas = cycle(replicas)
        self._labels: dict[tuple[str, str], list[int]] = {}
        self._systemone = False
        self._scoring = True

    async def judge(self, decision: Decision, asker: Asker, call: Call) -> Judgement:
        """P(yes) for each item; NotSupported where the server cannot, BackendError, UnknownAdapter."""
        if self._systemone and len(decision.items) <= _MOST_QUESTIONS:
            return await self._decide(decision, asker, call)
        if not self._scoring:
            raise NotSupported("The server has no generative scoring.")
        return await self._score(decision, asker, call)

    async def probe(self, model: str, seconds: float) -> None:
        """Find out anew what the server can do; raises BackendError."""
        replica = next(self._replicas)
        question = {"type": "noul", "instructions": "Is this a word?"}
        body = {"model": model, "state": "word", "questions": {"0": question}}
        with translated(replica):
            async with asyncio.timeout(seconds):
                response = await self._server.http.post(f"{replica}/v1/systemone", json=body)
        self._systemone = response.status_code == 200
        self._scoring = True

    async def version(self, seconds: float) -> str:
        """What vLLM says of itself; '' from a server that does not."""
        replica = next(self._replicas)
        with translated(replica):
            async with asyncio.timeout(seconds):
                response = await self._server.http.get(f"{replica}/version")
            return str(response.json().get("version", "")) if response.status_code == 200 else ""

    async def _score(self, decision: Decision, asker: Asker, call: Call) -> Judgement:
        replica = next(self._replicas)
        query, items = decision.plain()
        body = {
            "model": asker.model,
            "query": query,
            "items": list(items),
            "label_token_ids": await self._label_ids(replica, decision.ending, call),
            **asker.body,
        }
        answer = await self._post(f"{replica}/generative_scoring", body, asker, call)
        try:
            scores = {int(item["index"]): float(item["score"]) for item in answer["data"]}
            found = tuple(scores[index] for index in range(len(items)))
            used = answer.get("usage") or {}
            usage = Usage(int(used.get("prompt_tokens") or 0), int(used.get("completion_tokens") or 0), 0, 1)
        except (KeyError, TypeError, ValueError) as error:
            raise BackendAnswerInvalid("/generative_scoring answered no scores.") from error
        return Judgement(found, usage)

    async def _decide(self, decision: Decision, asker: Asker, call: Call) -> Judgement:
        ids = [str(index) for index in range(len(decision.items))]
        questions = {key: {"type": "noul", "instructions": f"Decide on item {key}."} for key in ids}
        body = {
            "model": asker.model,
            "instructions": decision.instruction,
            "state": {key: quoted(item) for key, item in zip(ids, decision.items, strict=True)},
            "questions": questions,
            **asker.body,
        }
        answer = await self._post(f"{next(self._replicas)}/v1/systemone", body, asker, call)
        try:
            found = tuple(float(answer["answers"][key]["noul"]) for key in ids)
        except (KeyError, TypeError, ValueError) as error:
            raise BackendAnswerInvalid("/v1/systemone answered no probabilities.") from error
        return Judgement(found, Usage(calls=1))

    async def _label_ids(self, replica: str, ending: str, call: Call) -> list[int]:
        """The tokens that say yes and no after `ending`; adapters share the base model's tokenizer."""
        if (replica, ending) not in self._labels:
            asker = Asker("", None)
            texts = [{"prompt": f"{ending} {word}", "add_special_tokens": False} for word in (YES, NO)]
            answers = [await self._post(f"{replica}/tokenize", text, asker, call) for text in texts]
            pairs = zip(*(answer.get("tokens") or () for answer in answers), strict=False)
            apart = next(([yes, no] for yes, no in pairs if yes != no), None)
            if apart is None:
                raise NotSupported("The tokenizer does not tell yes from no by one token.")
            self._labels[replica, ending] = apart
        return self._labels[replica, ending]

    async def _post(self, url: str, body: Mapping[str, Any], asker: Asker, call: Call) -> dict[str, Any]:
        response = await self._server.post(url, body, call, asker.headers, asker.adapter)
        if _lacks(response):
            self._forget(url)
            raise NotSupported(f"The server has no {url}.")
        with translated(url, asker.adapter):
            response.raise_for_status()
            answer = response.json()
        if not isinstance(answer, dict):
            raise BackendAnswerInvalid(f"{url} answered something else than an object.")
        return answer

    def _forget(self, url: str) -> None:
        if url.endswith("/v1/systemone"):
            self._systemone = False
        else:
            self._scoring = False


def _lacks(response: httpx.Response) -> bool:
    """Whether the server does not know the path; a 404 with an `error` is about the model instead."""
    if response.status_code in {405, 501}:
        return True
    return response.status_code == 404 and b'"error"' not in response.content
