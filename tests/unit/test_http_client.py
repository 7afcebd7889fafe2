"""A server that misbehaves: what becomes of it, and how often it is asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.clients.slm.base import Call, EnrichContext, GenerateHypotheses, JudgeClarity, Summarize
from app.clients.slm.http import HTTPClient
from app.clients.slm.replicas import VLLMReplica
from app.errors import (
    BackendAnswerInvalid,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    ConfigError,
    UnknownAdapter,
)
from app.models import Adapter
from tests.fake_vllm import BASE, FakeVLLM

ASK = GenerateHypotheses("build api")


@pytest.fixture
def fake() -> FakeVLLM:
    return FakeVLLM()


@pytest.fixture
async def client(fake: FakeVLLM) -> AsyncIterator[HTTPClient]:
    made = HTTPClient("http://server/v1", BASE, transport=httpx.ASGITransport(app=fake))
    yield made
    await made.aclose()


@pytest.mark.parametrize("kind", ["broken", "empty", "length"])
async def test_a_broken_answer_is_repaired_once(client: HTTPClient, fake: FakeVLLM, kind: str) -> None:
    fake.fail(kind, times=1)
    done = await client.run(ASK, Call())

    assert len(done.value) == 3
    assert done.usage.calls == 2
    first, second = fake.asked("/chat/completions")
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert len(second["messages"]) == len(first["messages"]) + (0 if kind == "empty" else 2)


@pytest.mark.parametrize("kind", ["broken", "empty", "length"])
@pytest.mark.parametrize("task", [ASK, EnrichContext("x")])
async def test_an_answer_that_stays_broken_is_a_failure(
    client: HTTPClient, fake: FakeVLLM, kind: str, task: Any
) -> None:
    fake.fail(kind)
    with pytest.raises(BackendAnswerInvalid):
        await client.run(task, Call())
    assert len(fake.requests) == 2


async def test_an_empty_summary_is_a_failure(client: HTTPClient, fake: FakeVLLM) -> None:
    fake.fail("empty")
    with pytest.raises(BackendAnswerInvalid):
        await client.run(Summarize("text"), Call())


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "status", "status": 500}, BackendUnavailable),
        ({"kind": "status", "status": 503}, BackendUnavailable),
        ({"kind": "status", "status": 429}, BackendUnavailable),
        ({"kind": "status", "status": 400}, BackendRejected),
        ({"kind": "status", "status": 401}, BackendRejected),
        ({"kind": "status", "status": 404}, BackendRejected),
        ({"kind": "reset"}, BackendUnavailable),
    ],
)
@pytest.mark.parametrize("task", [ASK, JudgeClarity("x")])
async def test_failures_are_translated_and_not_retried_here(
    client: HTTPClient, fake: FakeVLLM, fault: dict[str, Any], error: type[Exception], task: Any
) -> None:
    fake.fail(**fault)
    with pytest.raises(error) as raised:
        await client.run(task, Call())
    assert raised.value.__cause__ is not None
    assert len(fake.requests) == 1


async def test_a_hung_server_costs_the_deadline_and_the_request_is_given_up(
    client: HTTPClient, fake: FakeVLLM
) -> None:
    fake.fail("hang")
    with pytest.raises(BackendTimeout):
        await client.run(ASK, Call(deadline=time.monotonic() + 0.05))
    assert fake.abandoned == 1


async def test_the_clients_own_timeout_is_a_bound_too(fake: FakeVLLM) -> None:
    fake.fail("hang")
    client = HTTPClient("http://server/v1", BASE, timeout=0.05, transport=httpx.ASGITransport(app=fake))
    with pytest.raises(BackendTimeout):
        await client.run(ASK, Call())
    await client.aclose()


async def test_a_cancelled_call_gives_the_request_up(client: HTTPClient, fake: FakeVLLM) -> None:
    fake.fail("hang")
    running = asyncio.create_task(client.run(ASK, Call()))
    await fake.suffering.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert fake.abandoned == 1


async def test_something_that_is_no_openai_server_is_an_invalid_answer() -> None:
    pages: Any = httpx.MockTransport(lambda _: httpx.Response(200, json={"hello": "world"}))
    client = HTTPClient("http://server/v1", BASE, transport=pages)
    with pytest.raises(BackendAnswerInvalid):
        await client.run(ASK, Call())
    assert not (await client.ping()).ok
    await client.aclose()


async def test_a_broken_stream_is_repaired_only_while_nothing_was_shown(
    client: HTTPClient, fake: FakeVLLM
) -> None:
    fake.fail("empty", times=1)
    events = [event async for event in client.stream(ASK, Call())]
    assert len(events) == 4

    fake.fail("length")
    stream = client.stream(ASK, Call())
    shown = [await anext(stream), await anext(stream)]
    with pytest.raises(BackendAnswerInvalid):
        await anext(stream)
    assert len(shown) == 2


async def test_a_server_without_adapters_has_no_adapter(client: HTTPClient, fake: FakeVLLM) -> None:
    with pytest.raises(UnknownAdapter):
        await client.run(ASK, Call(adapter="a"))
    assert fake.requests == []


async def test_ping_tells_a_model_that_is_not_served(fake: FakeVLLM) -> None:
    client = HTTPClient("http://server/v1", "another", transport=httpx.ASGITransport(app=fake))
    health = await client.ping()
    assert not health.ok
    assert "another" in health.detail
    await client.aclose()


async def test_ping_of_a_failing_server_does_not_raise(client: HTTPClient, fake: FakeVLLM) -> None:
    fake.fail("status", path="/models")
    assert not (await client.ping()).ok


def test_a_budget_below_the_instructions_is_refused() -> None:
    with pytest.raises(ConfigError, match="640"):
        HTTPClient("http://server/v1", BASE, prompt_tokens=100)


async def test_a_replica_loads_lists_and_unloads_and_doing_so_twice_is_no_error(fake: FakeVLLM) -> None:
    replica = VLLMReplica("http://server/v1/", transport=httpx.ASGITransport(app=fake))
    adapter = Adapter("a-1", "/adapters/a-1", BASE, 8)
    for _ in range(2):
        await replica.load(adapter)
    assert await replica.loaded() == ["a-1"]
    with pytest.raises(BackendRejected, match="already been loaded"):
        await replica.load(Adapter("a-1", "/elsewhere", BASE, 8))
    for _ in range(2):
        await replica.unload("a-1")
    assert await replica.loaded() == []
    with pytest.raises(BackendRejected):
        await replica.load(Adapter("a-2", "/missing", BASE, 8))
    await replica.aclose()
