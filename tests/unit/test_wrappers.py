"""Each wrapper alone, round a backend whose every answer the test decides; clocks are handed in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.clients.slm.base import Call, Completion, GenerateHypotheses, Health, Lane, Summarize, Usage
from app.clients.slm.wrappers import compose
from app.clients.slm.wrappers.base import Event, Wrapper
from app.clients.slm.wrappers.breaker import Breaker
from app.clients.slm.wrappers.fallback import Fallback
from app.clients.slm.wrappers.limited import Limited
from app.clients.slm.wrappers.measured import Measured
from app.clients.slm.wrappers.retrying import Retrying
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
from app.models import Confidence, Hypothesis

TASK = Summarize("text")
ASK = GenerateHypotheses("build api")


def hypothesis(question: str, producer: str = "scripted") -> Hypothesis:
    return Hypothesis(question, question, question, "", 2, (), Confidence(0.5), producer)


class Scripted:
    """Answers with the next line of its script: an error is raised, a gate is waited for."""

    def __init__(self, *script: ServiceError | asyncio.Event | None, name: str = "scripted") -> None:
        self.name = name
        self.script = list(script)
        self.calls: list[Call] = []
        self.tasks: list[Any] = []
        self.closed = False
        self.left_open = 0

    async def run(self, task: Any, call: Call) -> Completion[Any]:
        self.tasks.append(task)
        await self._next(call)
        asked = isinstance(task, GenerateHypotheses)
        value = [hypothesis(f"{self.name}?", self.name)][: task.count] if asked else self.name
        return Completion(value, self.name, "m", usage=Usage(calls=1))

    async def stream(self, task: GenerateHypotheses, call: Call) -> AsyncIterator[Event]:
        self.left_open += 1
        try:
            shown = [hypothesis("first?"), hypothesis("second?")]
            for one in shown:
                await self._next(call)
                yield one
            yield Completion(shown, self.name, "m")
        finally:
            self.left_open -= 1

    async def ping(self) -> Health:
        return Health(ok=True, model=self.name)

    async def aclose(self) -> None:
        self.closed = True

    async def _next(self, call: Call) -> None:
        self.calls.append(call)
        match self.script.pop(0) if self.script else None:
            case ServiceError() as error:
                raise error
            case asyncio.Event() as gate:
                await gate.wait()
            case _:
                await asyncio.sleep(0)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def events(stream: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in stream]


# --- Breaker -------------------------------------------------------------------------------------


async def fails(client: Wrapper, error: type[ServiceError], times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(error):
            await client.run(TASK, Call())


@pytest.mark.parametrize("error", [BackendUnavailable(), BackendTimeout()])
async def test_three_failures_in_a_row_open_the_breaker(error: ServiceError) -> None:
    inner = Scripted(error, error, error)
    breaker = Breaker(inner, patience=0.0)

    await fails(breaker, type(error), 3)

    assert breaker.state == "open"
    await fails(breaker, BackendOverloaded, 5)
    assert len(inner.calls) == 3


@pytest.mark.parametrize("error", [BackendAnswerInvalid(), BackendRejected(), UnknownAdapter()])
async def test_a_backend_that_says_no_is_alive(error: ServiceError) -> None:
    breaker = Breaker(Scripted(*[error] * 9))
    await fails(breaker, type(error), 9)
    assert breaker.state == "closed"


async def test_one_success_forgets_the_failures_before_it() -> None:
    down = BackendUnavailable()
    breaker = Breaker(Scripted(down, down, None, down, down))
    await fails(breaker, BackendUnavailable, 2)
    await breaker.run(TASK, Call())
    await fails(breaker, BackendUnavailable, 2)
    assert breaker.state == "closed"


async def test_a_timeout_of_a_hurried_call_says_nothing_of_the_backend() -> None:
    breaker = Breaker(Scripted(*[BackendTimeout()] * 9), patience=1.0, clock=Clock())
    await fails(breaker, BackendTimeout, 9)
    assert breaker.state == "closed"


async def test_after_its_rest_one_probe_goes_through_and_closes_it() -> None:
    clock, gate = Clock(), asyncio.Event()
    inner = Scripted(BackendUnavailable(), gate)
    breaker = Breaker(inner, failures=1, rest=5.0, clock=clock)
    await fails(breaker, BackendUnavailable)

    clock.now = 5.0
    resting = breaker.state
    probe = asyncio.create_task(breaker.run(TASK, Call()))
    await asyncio.sleep(0)
    await fails(breaker, BackendOverloaded)
    gate.set()
    await probe

    assert (resting, breaker.state) == ("half-open", "closed")


async def test_a_probe_that_fails_doubles_the_rest_up_to_the_longest() -> None:
    clock = Clock()
    breaker = Breaker(
        Scripted(*[BackendUnavailable()] * 9), failures=1, rest=5.0, longest_rest=15.0, clock=clock
    )
    await fails(breaker, BackendUnavailable)
    for rest in (5.0, 10.0, 15.0, 15.0):
        clock.now += rest - 0.1
        assert breaker.state == "open"
        clock.now += 0.1
        await fails(breaker, BackendUnavailable)


async def test_a_probe_that_is_cancelled_makes_room_for_the_next() -> None:
    clock = Clock()
    breaker = Breaker(Scripted(BackendUnavailable(), asyncio.Event()), failures=1, rest=5.0, clock=clock)
    await fails(breaker, BackendUnavailable)
    clock.now = 5.0
    probe = asyncio.create_task(breaker.run(TASK, Call()))
    await asyncio.sleep(0)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe

    assert (await breaker.run(TASK, Call())).value == "scripted"


async def test_a_stream_counts_like_a_run() -> None:
    breaker = Breaker(Scripted(None, BackendUnavailable()), failures=1)
    with pytest.raises(BackendUnavailable):
        await events(breaker.stream(ASK, Call()))
    assert breaker.state == "open"


# --- Retrying ------------------------------------------------------------------------------------


class Sleeper:
    def __init__(self) -> None:
        self.slept: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.slept.append(seconds)


def retrying(inner: Scripted, sleeper: Sleeper, attempts: int = 4) -> Retrying:
    return Retrying(inner, attempts=attempts, base=0.1, longest=0.3, sleep=sleeper, chance=lambda: 1.0)


async def test_pauses_double_up_to_the_longest_and_the_calls_are_counted() -> None:
    sleeper = Sleeper()
    done = await retrying(Scripted(*[BackendUnavailable()] * 3), sleeper).run(TASK, Call())
    assert sleeper.slept == [0.1, 0.2, 0.3]
    assert done.usage.calls == 4


async def test_the_last_failure_is_the_one_that_is_raised() -> None:
    inner = Scripted(BackendUnavailable("first"), BackendUnavailable("second"), None)
    with pytest.raises(BackendUnavailable, match="second"):
        await retrying(inner, Sleeper(), attempts=2).run(TASK, Call())


@pytest.mark.parametrize("error", [BackendRejected(), BackendAnswerInvalid(), UnknownAdapter()])
async def test_what_would_fail_again_is_not_tried_again(error: ServiceError) -> None:
    inner = Scripted(error)
    with pytest.raises(type(error)):
        await retrying(inner, Sleeper()).run(TASK, Call())
    assert len(inner.calls) == 1


async def test_what_the_server_asks_for_is_waited() -> None:
    sleeper = Sleeper()
    await retrying(Scripted(BackendUnavailable(retry_after=2.0)), sleeper).run(TASK, Call())
    assert sleeper.slept == [2.0]


async def test_there_is_no_try_for_which_the_deadline_leaves_no_time() -> None:
    inner, sleeper = Scripted(BackendUnavailable()), Sleeper()
    with pytest.raises(BackendUnavailable):
        await retrying(inner, sleeper).run(TASK, Call(deadline=0.0))
    assert sleeper.slept == []


async def test_a_stream_is_tried_again_only_before_its_first_event() -> None:
    early = await events(retrying(Scripted(BackendUnavailable()), Sleeper()).stream(ASK, Call()))
    assert len(early) == 3
    with pytest.raises(BackendUnavailable):
        await events(retrying(Scripted(None, BackendUnavailable()), Sleeper()).stream(ASK, Call()))


# --- Limited -------------------------------------------------------------------------------------


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


# --- Fallback ------------------------------------------------------------------------------------

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


# --- Measured and the whole stack -----------------------------------------------------------------


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
