"""Limits, fallback and measures, each round a backend whose every answer the test decides."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.clients.slm.base import Call, Completion, GenerateHypotheses, Lane
from app.clients.slm.wrappers import compose
from app.clients.slm.wrappers.fallback import Fallback
from app.clients.slm.wrappers.limited import Limited
from app.clients.slm.wrappers.measured import Measured
from app.errors import (
    BackendAnswerInvalid,
    BackendOverloaded,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    ServiceError,
    UnknownAdapter,
)
from app.metrics import BackendMetrics
from app.models import Hypothesis
from tests.scripted import ASK, TASK, Clock, Scripted, events


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_interactive_goes_before_batch_before_background() -> None:
    gate = asyncio.Event()
    inner = Scripted(gate)
    limited = Limited(inner, at_once=1)
    lanes = [Lane.INTERACTIVE, Lane.BACKGROUND, Lane.BATCH, Lane.INTERACTIVE]
    runs = []
    for lane in lanes:
        runs.append(asyncio.create_task(limited.run(TASK, Call(lane=lane))))
        await settle()
    assert len(inner.calls) == 1

    gate.set()
    await asyncio.gather(*runs)

    assert [call.lane for call in inner.calls[1:]] == sorted(lanes[1:])


async def test_how_long_it_took_is_told_without_the_waiting() -> None:
    first, second, clock = asyncio.Event(), asyncio.Event(), Clock()
    limited = Limited(Scripted(first, second), at_once=1, clock=clock)
    runs = [asyncio.create_task(limited.run(TASK, Call(lane=lane))) for lane in (Lane.BATCH, Lane.BACKGROUND)]
    for seconds, gate in ((5.0, first), (7.0, second)):
        await settle()
        clock.now = seconds
        gate.set()
    assert [done.milliseconds for done in await asyncio.gather(*runs)] == [5000.0, 2000.0]


async def test_a_full_queue_turns_away_the_least_urgent() -> None:
    gate = asyncio.Event()
    limited = Limited(Scripted(gate), at_once=1, waiting=1)
    running = asyncio.create_task(limited.run(TASK, Call()))
    await settle()
    background = asyncio.create_task(limited.run(TASK, Call(lane=Lane.BACKGROUND)))
    await settle()
    interactive = asyncio.create_task(limited.run(TASK, Call()))
    await settle()

    with pytest.raises(BackendOverloaded):
        await background
    with pytest.raises(BackendOverloaded):
        await limited.run(TASK, Call())
    gate.set()
    assert {(await running).value, (await interactive).value} == {"scripted"}


async def test_nobody_waits_beyond_the_deadline_and_no_turn_is_lost() -> None:
    gate = asyncio.Event()
    limited = Limited(Scripted(gate), at_once=1)
    running = asyncio.create_task(limited.run(TASK, Call()))
    await settle()

    with pytest.raises(BackendOverloaded):
        await limited.run(TASK, Call(deadline=time.monotonic() + 0.01))
    waiting = asyncio.create_task(limited.run(TASK, Call()))
    await settle()
    waiting.cancel()
    gate.set()
    await running

    assert (await limited.run(TASK, Call())).value == "scripted"


async def test_a_turn_that_is_given_to_someone_who_just_left_goes_on() -> None:
    gate = asyncio.Event()
    limited = Limited(Scripted(gate), at_once=1)
    running = asyncio.create_task(limited.run(TASK, Call()))
    await settle()
    leaving = asyncio.create_task(limited.run(TASK, Call()))
    staying = asyncio.create_task(limited.run(TASK, Call()))
    await settle()
    gate.set()
    await running
    leaving.cancel()

    assert (await staying).value == "scripted"
    assert (await limited.run(TASK, Call())).value == "scripted"


async def test_a_stream_that_is_left_gives_its_turn_back() -> None:
    inner = Scripted()
    limited = Limited(inner, at_once=1)
    stream: Any = limited.stream(ASK, Call())
    await anext(stream)
    await stream.aclose()
    assert inner.left_open == 0
    assert (await limited.run(TASK, Call())).value == "scripted"


FAILURES = [
    BackendUnavailable(),
    BackendTimeout(),
    BackendOverloaded(),
    BackendRejected(),
    BackendAnswerInvalid(),
    UnknownAdapter(),
]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: error.slug)
async def test_whatever_fails_local_answers_and_says_why(error: ServiceError) -> None:
    local = Scripted(name="local")
    done = await Fallback(Scripted(error), local).run(TASK, Call(adapter="a", deadline=0.0))

    assert (done.value, done.producer, done.degraded, done.reason) == ("local", "local", True, error.slug)
    assert local.calls[0].adapter is None
    assert local.calls[0].remaining() > 0
    assert done.usage.calls == error.calls + 1


async def test_an_adapter_the_caller_named_is_not_replaced() -> None:
    fallback = Fallback(Scripted(UnknownAdapter()), Scripted(name="local"))
    with pytest.raises(UnknownAdapter):
        await fallback.run(TASK, Call(adapter="a", adapter_required=True))


async def test_what_is_not_a_backend_failure_is_not_hidden() -> None:
    fallback = Fallback(Scripted(ServiceError("a mistake of ours")), Scripted(name="local"))
    with pytest.raises(ServiceError, match="a mistake of ours"):
        await fallback.run(TASK, Call())


async def test_a_broken_stream_keeps_what_was_shown_and_local_adds_the_rest() -> None:
    local = Scripted(name="local")
    shown = await events(Fallback(Scripted(None, BackendUnavailable()), local).stream(ASK, Call()))

    *added, done = shown
    assert [one.question for one in added if isinstance(one, Hypothesis)] == ["first?", "local?"]
    assert isinstance(done, Completion)
    assert (done.value, done.degraded, done.reason) == (added, True, "backend-unavailable")
    assert (local.tasks[0].asked, local.tasks[0].count) == (("first?",), 2)


async def test_a_stream_that_broke_when_all_was_shown_needs_no_more() -> None:
    local = Scripted(name="local")
    one = GenerateHypotheses("build api", count=1)
    shown = await events(Fallback(Scripted(None, BackendUnavailable()), local).stream(one, Call()))
    assert len(shown) == 2
    assert local.calls == []


async def test_both_backends_are_closed() -> None:
    inner, local = Scripted(), Scripted()
    await Fallback(inner, local).aclose()
    assert inner.closed and local.closed


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, labels) or 0.0


async def test_outcomes_and_fallbacks_are_counted_at_both_seams() -> None:
    registry = CollectorRegistry()
    inner = Scripted(BackendRejected(), None, name="vllm")
    stack = compose(inner, Scripted(name="local"), BackendMetrics(registry))

    await stack.run(TASK, Call())
    await events(stack.stream(ASK, Call()))

    def requests(**labels: str) -> float:
        return counted(registry, "embed_backend_requests_total", backend="vllm", **labels)

    assert requests(seam="backend", task="Summarize", outcome="backend-rejected") == 1
    assert requests(seam="answer", task="Summarize", outcome="ok") == 1
    assert requests(seam="answer", task="GenerateHypotheses", outcome="ok") == 1
    assert counted(registry, "embed_backend_fallbacks_total", backend="vllm", reason="backend-rejected") == 1


async def test_an_abandoned_stream_is_counted_as_such() -> None:
    registry = CollectorRegistry()
    stream: Any = Measured(Scripted(), BackendMetrics(registry), "answer").stream(ASK, Call())
    await anext(stream)
    await stream.aclose()
    labels = {"seam": "answer", "backend": "scripted", "task": "GenerateHypotheses", "outcome": "abandoned"}
    assert counted(registry, "embed_backend_requests_total", **labels) == 1


async def test_without_a_backend_local_stands_alone() -> None:
    stack = compose(None, Scripted(name="local"), BackendMetrics(CollectorRegistry()))
    done = await stack.run(TASK, Call())
    assert (done.producer, done.degraded) == ("local", False)


async def test_leaving_the_stack_in_mid_stream_closes_the_backends_stream_at_once() -> None:
    inner = Scripted()
    stack = compose(inner, Scripted(name="local"), BackendMetrics(CollectorRegistry()))
    stream: Any = stack.stream(ASK, Call())
    await anext(stream)
    assert inner.left_open == 1
    await stream.aclose()
    assert inner.left_open == 0
