"""When a backend is asked again, and when it is left in peace."""

from __future__ import annotations

import asyncio

import pytest

from app.clients.slm.base import Call
from app.clients.slm.wrappers.base import Wrapper
from app.clients.slm.wrappers.breaker import Breaker
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
from tests.scripted import ASK, TASK, Clock, Scripted, events


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


async def test_the_error_says_how_many_calls_were_in_vain() -> None:
    async def at_once(_: float) -> None:
        await asyncio.sleep(0)

    retrying = Retrying(Scripted(BackendUnavailable(), BackendUnavailable()), attempts=2, sleep=at_once)
    with pytest.raises(BackendUnavailable) as raised:
        await retrying.run(TASK, Call())
    assert raised.value.calls == 2


async def test_opening_and_closing_are_told_once_without_a_user_s_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    errors = [BackendUnavailable("it said: my secret") for _ in range(4)]
    breaker = Breaker(Scripted(*errors), rest=5.0, clock=clock)
    await fails(breaker, BackendUnavailable, 3)
    await fails(breaker, BackendOverloaded, 3)
    clock.now += 5
    await fails(breaker, BackendUnavailable)
    clock.now += 10
    await breaker.run(TASK, Call())
    await breaker.run(TASK, Call())
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    opened, closed = caplog.messages
    assert opened == "backend scripted rests for 5 s after 3 failures: backend-unavailable"
    assert closed == "backend scripted answers again"
