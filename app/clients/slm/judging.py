"""Decisions through chat: one token and its probabilities, or ratings where a server does not tell them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.clients.slm import parsing
from app.clients.slm.base import Call, Usage
from app.clients.slm.chat import ChatReply, ChatRequest, ChatServer
from app.clients.slm.decisions import Decision, Item, yes_probability
from app.clients.slm.prompts import Prompt

TOP_LOGPROBS = 10
_AT_ONCE = 8

Asks = Callable[[Prompt], ChatRequest]
"""Makes a request of a prompt: model, sampling and headers are the client's."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """P(yes) for each item, and what it cost."""

    probabilities: tuple[float, ...]
    usage: Usage


class ChatJudge:
    """Remembers whether the server tells log-probabilities, so that it is tried in vain only once."""

    def __init__(self, server: ChatServer) -> None:
        self._server = server
        self._tells = True

    async def judge(self, decision: Decision, asks: Asks, call: Call) -> Judgement:
        """Raises BackendError, UnknownAdapter; `decision` has at least one item."""
        if not self._tells:
            return await self._rate(decision, asks, call)
        first = await self._ask(decision, decision.items[0], asks, call)
        if _certainty(first) is None:
            self._tells = first.first_token is not None
            judged = await self._rate(decision, asks, call)
            return replace(judged, usage=judged.usage + first.usage)
        rest = await self._ask_all(decision, asks, call)
        replies = [first, *rest]
        # A single item that is answered with neither yes nor no is undecided, not an error.
        certainties = tuple(0.5 if (p := _certainty(reply)) is None else p for reply in replies)
        return Judgement(certainties, sum((reply.usage for reply in replies), Usage()))

    async def _ask_all(self, decision: Decision, asks: Asks, call: Call) -> list[ChatReply]:
        turn = asyncio.Semaphore(_AT_ONCE)

        async def ask(item: Item) -> ChatReply:
            async with turn:
                return await self._ask(decision, item, asks, call)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(ask(item)) for item in decision.items[1:]]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _ask(self, decision: Decision, item: Item, asks: Asks, call: Call) -> ChatReply:
        request = replace(asks(Prompt(decision.chat(item), "decision")), top_logprobs=TOP_LOGPROBS)
        return await self._server.complete(request, call)

    async def _rate(self, decision: Decision, asks: Asks, call: Call) -> Judgement:
        count = len(decision.items)
        request = asks(decision.rating())
        longest = replace(request.sampling, max_tokens=24 + 6 * count)
        reply = await self._server.complete(replace(request, sampling=longest), call)
        return Judgement(tuple(parsing.ratings(reply.text, count)), reply.usage)


def _certainty(reply: ChatReply) -> float | None:
    return None if reply.first_token is None else yes_probability(reply.first_token)
