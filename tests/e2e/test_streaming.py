"""Over a real socket: pieces arrive one by one, and a reader that leaves ends the request."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any, cast

import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import Call, Completion, GenerateHypotheses, Summarize
from app.clients.slm.local import LocalClient
from app.clients.slm.vllm import VLLMClient
from app.clients.slm.wrappers import BackendLimits, compose
from app.errors import BackendUnavailable
from app.metrics import BackendMetrics
from app.models import Hypothesis
from tests.fake_vllm import BASE, FakeVLLM

ASK = GenerateHypotheses("build api")
SERVE = "import uvicorn, sys; from tests.fake_vllm import FakeVLLM; "
SERVE += "uvicorn.run(FakeVLLM(), fd=int(sys.argv[1]), log_level='error')"


class Server(uvicorn.Server):
    """Without signal handlers: the test runner keeps its own."""

    def install_signal_handlers(self) -> None:
        return


@pytest.fixture
async def served() -> AsyncIterator[tuple[FakeVLLM, str]]:
    fake = FakeVLLM()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(uvicorn.Config(fake, log_level="critical", lifespan="off"))
        running = asyncio.create_task(server.serve([listening]))
        yield fake, f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        server.should_exit = True
        await running


async def test_the_first_hypothesis_comes_before_the_answer_is_complete(served: tuple[FakeVLLM, str]) -> None:
    fake, url = served
    fake.pause = 0.005
    client = VLLMClient(url, BASE)
    async with aclosing(client.stream(ASK, Call())) as events:
        assert isinstance(await anext(events), Hypothesis)
        assert fake.completed == 0
        rest = [event async for event in events]
    assert len(rest) == 3
    assert fake.completed == 1
    await client.aclose()


async def test_a_reader_that_leaves_ends_the_request(served: tuple[FakeVLLM, str]) -> None:
    fake, url = served
    fake.pause = 0.005
    client = VLLMClient(url, BASE)
    async with aclosing(client.stream(ASK, Call())) as events:
        await anext(events)
    await asyncio.wait_for(fake.left.wait(), 10)
    assert (fake.abandoned, fake.completed) == (1, 0)
    await client.aclose()


async def test_a_stream_that_is_cut_keeps_what_was_shown(served: tuple[FakeVLLM, str]) -> None:
    fake, url = served
    fake.fail("cut")
    client = VLLMClient(url, BASE)
    with pytest.raises(BackendUnavailable):
        async for event in client.stream(ASK, Call()):
            assert isinstance(event, Hypothesis)

    stack = compose(client, LocalClient(StaticEmbedder()), BackendMetrics(CollectorRegistry()))
    events = [event async for event in stack.stream(ASK, Call())]
    done = events.pop()
    assert isinstance(done, Completion)
    assert done.value == events
    assert (done.degraded, done.reason) == (True, "backend-unavailable")
    assert cast("Hypothesis", events[0]).producer == "vllm"
    await stack.aclose()


@pytest.fixture
def frozen() -> Iterator[str]:
    """The address of a server process that is stopped but still accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(listening.fileno())], pass_fds=[listening.fileno()]
        )
        process.send_signal(signal.SIGSTOP)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        process.kill()
        process.wait()


async def test_a_hung_backend_is_waited_for_only_by_the_first_calls(frozen: str) -> None:
    backend = VLLMClient(frozen, BASE, timeout=1.05)
    limits = BackendLimits(attempts=1, failures=2, rest=3600.0)
    stack: Any = compose(backend, LocalClient(StaticEmbedder()), BackendMetrics(CollectorRegistry()), limits)
    reasons = []
    for _ in range(6):
        done = await stack.run(Summarize("One thing. Another thing."), Call())
        reasons.append(done.reason)
    await stack.aclose()

    assert reasons == ["backend-timeout"] * 2 + ["backend-overloaded"] * 4
