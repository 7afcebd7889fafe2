"""A vLLM that dies or hangs in the middle of a request: the stack answers, says so, and waits no longer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import Call, Completion, GenerateHypotheses, SLMClient
from app.clients.slm.local import LocalClient
from app.clients.slm.vllm import VLLMClient
from app.clients.slm.wrappers.compose import BackendLimits, compose
from app.metrics import BackendMetrics
from app.models import Hypothesis
from tests.real.conftest import SHORT, CountingTransport
from tests.real.vllm_server import VLLMServer

pytestmark = pytest.mark.vllm

TIMEOUT = 8.0
FAILURES = 2
LONG_ANSWER = GenerateHypotheses("build api", count=5)
Answer = Completion[list[Hypothesis]]


@dataclass(frozen=True)
class Stack:
    """The backend as the service composes it, and what it sends."""

    slm: SLMClient
    transport: CountingTransport

    async def ask(self) -> Answer:
        """An answer, which has to come before its deadline is over."""
        async with asyncio.timeout(2 * TIMEOUT):
            return await self.slm.run(LONG_ANSWER, Call(deadline=time.monotonic() + TIMEOUT))

    async def ask_until_it_works(self, server: VLLMServer, count: int) -> list[asyncio.Task[Answer]]:
        """`count` requests, all of which the server has begun to answer."""
        asked = [asyncio.create_task(self.ask()) for _ in range(count)]
        await asyncio.to_thread(server.wait_until_running, count)
        return asked


@pytest.fixture
async def stack(vllm_server: VLLMServer) -> AsyncIterator[Stack]:
    transport = CountingTransport()
    backend = VLLMClient(
        vllm_server.base_url, vllm_server.model, timeout=TIMEOUT, transport=transport, sampling=SHORT
    )
    limits = BackendLimits(attempts=1, failures=FAILURES, rest=600.0)
    slm = compose(backend, LocalClient(StaticEmbedder()), BackendMetrics(CollectorRegistry()), limits)
    try:
        yield Stack(slm, transport)
    finally:
        await slm.aclose()


def is_local(answer: Answer, *reasons: str) -> bool:
    return answer.degraded and answer.producer == "local" and answer.reason in reasons


async def test_a_server_that_hangs_is_answered_for_and_then_left_alone(
    stack: Stack, vllm_server: VLLMServer
) -> None:
    asked = await stack.ask_until_it_works(vllm_server, FAILURES)
    vllm_server.pause()
    assert all(is_local(answer, "backend-timeout") for answer in await asyncio.gather(*asked))
    sent = stack.transport.sent.total()
    assert is_local(await stack.ask(), "backend-overloaded")
    assert stack.transport.sent.total() == sent


async def test_a_server_killed_in_mid_request_is_answered_for_and_then_left_alone(
    stack: Stack, vllm_server: VLLMServer
) -> None:
    asked = await stack.ask_until_it_works(vllm_server, FAILURES)
    vllm_server.kill()
    assert all(is_local(answer, "backend-unavailable") for answer in await asyncio.gather(*asked))
    sent = stack.transport.sent.total()
    assert is_local(await stack.ask(), "backend-overloaded")
    assert stack.transport.sent.total() == sent
