"""A backend that is a server: whatever speaks the OpenAI chat protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import httpx

from app.clients.slm import decisions, forms
from app.clients.slm.base import (
    Call,
    Completion,
    GenerateHypotheses,
    Health,
    JudgeClarity,
    R,
    ScoreRelevance,
    Summarize,
    Task,
    Usage,
)
from app.clients.slm.calls import TaskCalls
from app.clients.slm.chat import ChatReply, ChatRequest, ChatServer
from app.clients.slm.decisions import Decision
from app.clients.slm.judging import ChatJudge, Judgement
from app.clients.slm.parsing import HypothesisReader, decode
from app.clients.slm.prompts import (
    LEAST_PROMPT_TOKENS,
    PROMPT_TOKENS,
    PROMPT_VERSION,
    Message,
    Prompt,
    render,
    repair,
)
from app.clients.slm.sampling import DEFAULT_SAMPLING, SamplingTable
from app.clients.slm.writing import written
from app.errors import BackendAnswerInvalid, BackendError, ConfigError, UnknownAdapter
from app.models import Hypothesis
from app.tokens import close_at_sentence

PING_SECONDS = 5.0


class HTTPClient(TaskCalls):
    """Does every task through chat; knows no adapters."""

    name = "http"

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        timeout: float = 30.0,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sampling: SamplingTable | None = None,
        prompt_tokens: int = PROMPT_TOKENS,
    ) -> None:
        """`base_url` ends in /v1, `timeout` is in seconds, `sampling` overrides the default task by task.

        Raises ConfigError for a `prompt_tokens` into which the instructions alone do not fit.
        """
        if prompt_tokens < LEAST_PROMPT_TOKENS:
            raise ConfigError(f"A prompt needs at least {LEAST_PROMPT_TOKENS} tokens, not {prompt_tokens}.")
        self.model = model
        self._server = ChatServer(base_url, api_key, timeout, transport)
        self._judge = ChatJudge(self._server)
        self._sampling = {**DEFAULT_SAMPLING, **(sampling or {})}
        self._prompt_tokens = prompt_tokens

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        """Do the task; raises BackendError, UnknownAdapter."""
        match task:
            case JudgeClarity():
                decision = decisions.clarity(task, self._prompt_tokens)
                judged = await self._decide(decision, task, call)
                return self._completion(
                    judged.probabilities[0], judged, call, decision.chat(decision.items[0])
                )
            case ScoreRelevance():
                return await self._score(task, call)
            case _:
                return await self._answer(task, call)

    async def stream(
        self, task: GenerateHypotheses, call: Call
    ) -> AsyncGenerator[Hypothesis | Completion[list[Hypothesis]]]:
        """Each hypothesis as soon as its JSON is complete; closing the iterator closes the request."""
        prompt = render(task, self._prompt_tokens)
        request = self._request(prompt, task, call)
        reader = HypothesisReader(task.count, self.name, task.asked)
        reply = None
        async with aclosing(written(self._server.stream(request, call), reader)) as events:
            async for event in events:
                if isinstance(event, ChatReply):
                    reply = event
                else:
                    yield event
        if reply is None:
            raise BackendAnswerInvalid("The answer broke off.")
        if reader.found:
            _check_whole(reply)
        else:
            reply = await self._again(request, reply, call)
            for hypothesis in self._read(task, reply):
                reader.found.append(hypothesis)
                yield hypothesis
        yield self._completion(reader.found, reply, call, prompt.messages)

    async def ping(self) -> Health:
        """Whether the server lists its models; never raises."""
        try:
            cards = await self._server.models(min(self._server.timeout, PING_SECONDS))
        except BackendError as error:
            return Health(ok=False, detail=error.detail, model=self.model)
        return self._health(cards)

    async def aclose(self) -> None:
        await self._server.aclose()

    def _health(self, cards: list[Mapping[str, Any]], version: str = "") -> Health:
        listed = any(card.get("id") == self.model for card in cards)
        detail = "" if listed else f"The server does not list the model {self.model!r}."
        adapters = tuple(sorted(str(card["id"]) for card in cards if card.get("parent") and "id" in card))
        return Health(listed, detail, self.model, version, adapters)

    async def _score(self, task: ScoreRelevance, call: Call) -> Completion[Any]:
        decision = decisions.relevance(task)
        if not decision.items:
            return self._completion([], Judgement((), Usage()), call, ())
        judged = await self._decide(decision, task, call)
        return self._completion(list(judged.probabilities), judged, call, decision.chat(decision.items[0]))

    async def _decide(self, decision: Decision, task: Task[Any], call: Call) -> Judgement:
        return await self._judge.judge(decision, lambda prompt: self._request(prompt, task, call), call)

    async def _answer(self, task: Task[Any], call: Call) -> Completion[Any]:
        prompt = render(task, self._prompt_tokens)
        request = self._request(prompt, task, call)
        reply = await self._server.complete(request, call)
        try:
            value = self._read(task, reply)
        except BackendAnswerInvalid as broken:
            try:
                reply = await self._again(request, reply, call)
                value = self._read(task, reply)
            except BackendError as error:
                error.calls += broken.calls
                raise
        return self._completion(value, reply, call, prompt.messages)

    async def _again(self, request: ChatRequest, broken: ChatReply, call: Call) -> ChatReply:
        """One more try at an answer that could not be read."""
        asked = replace(request, messages=repair(request.messages, broken.text))
        reply = await self._server.complete(asked, call)
        return replace(reply, usage=reply.usage + broken.usage)

    def _read(self, task: Task[Any], reply: ChatReply) -> Any:
        if isinstance(task, Summarize):
            return forms.read(task, _within(task, reply), self.name)
        _check_whole(reply)
        return forms.read(task, reply.text, self.name)

    def _request(self, prompt: Prompt, task: Task[Any], call: Call) -> ChatRequest:
        sampling = self._sampling[type(task)]
        if isinstance(task, Summarize):
            sampling = replace(sampling, max_tokens=min(sampling.max_tokens, task.max_tokens))
        return ChatRequest(
            self._model(call),
            prompt.messages,
            sampling,
            prompt.name,
            prompt.schema,
            body=self._body(call),
            headers=self._headers(call),
            adapter=self._adapter(call),
        )

    def _completion(
        self, value: Any, reply: ChatReply | Judgement, call: Call, messages: tuple[Message, ...]
    ) -> Completion[Any]:
        return Completion(
            value,
            self.name,
            self.model,
            self._adapter(call),
            reply.usage,
            messages=messages,
            prompt_version=PROMPT_VERSION,
        )

    def _model(self, call: Call) -> str:
        return self._adapter(call) or self.model

    def _adapter(self, call: Call) -> str | None:
        if call.adapter is not None and call.adapter != self.model:
            raise UnknownAdapter(f"The backend {self.name!r} serves no adapters.")
        return None

    def _body(self, call: Call) -> Mapping[str, Any]:  # noqa: ARG002 - for servers that know more fields
        return {}

    def _headers(self, call: Call) -> Mapping[str, str]:  # noqa: ARG002
        return {}


def _check_whole(reply: ChatReply) -> None:
    if reply.truncated:
        raise BackendAnswerInvalid("The answer is longer than its max_tokens.")
    decode(reply.text)


def _within(task: Summarize, reply: ChatReply) -> str:
    """The summary, in its budget and not broken off within a sentence."""
    counted = 0 < reply.usage.completion_tokens <= task.max_tokens
    return reply.text if counted and not reply.truncated else close_at_sentence(reply.text, task.max_tokens)
