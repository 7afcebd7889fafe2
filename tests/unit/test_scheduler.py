"""When to train: a pure decision, and the worker's looks at a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ConfigError, InvalidInput
from app.models import TrainingJob
from app.services.scheduler import Rules, Scheduler, State, due, parse_rules
from app.storage.sql import SQLStore
from tests.nouns import a_selection
from tests.training_jobs import an_order, store_in
from tests.unit.test_learned_choices import asked

YEAR = datetime(2026, 1, 1, tzinfo=UTC)
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
RULES = parse_rules(3, "0 3 * * *", 12, "08:00-18:00")
NIGHT = datetime(2026, 11, 2, 2, tzinfo=UTC)
STATE = State(labelled=3, last_run=None, watched_since=START, busy=False)

moments = st.integers(0, 365 * 24 * 3600).map(lambda seconds: YEAR + timedelta(seconds=seconds))
clocks = st.times().map(lambda clock: clock.replace(second=0, microsecond=0))
rules = st.builds(
    Rules,
    new_records=st.integers(0, 5),
    cron=st.sampled_from([None, RULES.cron, parse_rules(0, "*/15 * * * *", 0, "").cron]),
    cooldown=st.timedeltas(timedelta(), timedelta(days=2)),
    quiet=st.none() | st.tuples(clocks, clocks),
)
states = st.builds(
    State,
    labelled=st.integers(0, 10),
    last_run=st.none() | moments,
    watched_since=moments,
    busy=st.booleans(),
)


@settings(deadline=None)
@given(now=moments, state=states, given_rules=rules)
def test_nothing_begins_against_a_rule(now: datetime, state: State, given_rules: Rules) -> None:
    if due(now, state, given_rules) is None:
        return
    assert not state.busy
    assert state.labelled > 0
    if state.last_run is not None:
        assert now - state.last_run >= given_rules.cooldown
    enough = 0 < given_rules.new_records <= state.labelled
    assert enough or given_rules.cron is not None


@settings(deadline=None)
@given(now=moments, state=states, given_rules=rules, more=st.integers(1, 100))
def test_more_labels_never_hold_a_run_back(
    now: datetime, state: State, given_rules: Rules, more: int
) -> None:
    richer = replace(state, labelled=state.labelled + more)
    assert due(now, state, given_rules) is None or due(now, richer, given_rules) is not None


@settings(deadline=None)
@given(now=moments, state=states, given_rules=rules, later=st.timedeltas(timedelta(), timedelta(days=9)))
def test_what_is_due_stays_due_until_it_is_done(
    now: datetime, state: State, given_rules: Rules, later: timedelta
) -> None:
    waking = replace(given_rules, quiet=None)
    assert due(now, state, waking) is None or due(now + later, state, waking) is not None


@settings(deadline=None)
@given(now=moments, first=clocks, last=clocks)
def test_quiet_hours_may_pass_midnight(now: datetime, first: time, last: time) -> None:
    eager = Rules(1, None, timedelta(), (first, last))
    minutes = [clock.hour * 60 + clock.minute for clock in (now.time(), first, last)]
    quiet = (minutes[0] - minutes[1]) % 1440 < (minutes[2] - minutes[1]) % 1440
    assert (due(now, STATE, eager) is None) == quiet


def test_enough_records_are_a_reason() -> None:
    assert due(NIGHT, STATE, RULES) == "3 new labelled records"
    assert due(NIGHT, replace(STATE, labelled=2), RULES) is None
    assert due(NIGHT, replace(STATE, last_run=NIGHT - timedelta(hours=11)), RULES) is None


def test_an_hour_counts_once_and_waits_for_the_quiet_to_end() -> None:
    few = replace(STATE, labelled=1)
    three = datetime(2026, 11, 2, 3, tzinfo=UTC)
    assert due(three - timedelta(seconds=1), few, RULES) is None
    assert due(three, few, RULES) == "its hour, 2026-11-02 03:00 UTC, has come"
    assert due(three.replace(hour=9), few, RULES) is None
    assert due(three.replace(hour=18), few, RULES) is not None
    assert due(three.replace(hour=20), replace(few, last_run=three), RULES) is None
    assert due(three, replace(few, labelled=0), RULES) is None


@pytest.mark.parametrize(
    ("cron", "quiet", "named"),
    [
        ("nonsense", "", "TRAIN_CRON"),
        ("99 * * * *", "", "TRAIN_CRON"),
        ("", "8", "TRAIN_QUIET_HOURS"),
        ("", "08:00-25:00", "TRAIN_QUIET_HOURS"),
    ],
)
def test_a_wrong_setting_is_named(cron: str, quiet: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_rules(1, cron, 1, quiet)


class Clock:
    def __init__(self) -> None:
        self.at = datetime(2026, 12, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLStore]:
    opened = await store_in(tmp_path)
    yield opened
    await opened.aclose()


async def label(store: SQLStore, first: int, last: int, at: datetime | None = None) -> None:
    for number in range(first, last):
        await store.add_interaction(asked(number))
        selection = a_selection(f"r{number}")
        await store.add_selection(replace(selection, created_at=at or selection.created_at))


async def test_a_run_begins_with_enough_labels_and_the_next_with_new_ones(
    store: SQLStore, tmp_path: Path
) -> None:
    clock, ordered = Clock(), []

    async def order(tenant: str, task: str) -> TrainingJob:
        ordered.append((tenant, task))
        config = an_order(tmp_path).config(tmp_path)
        job = TrainingJob(f"j{len(ordered)}", tenant, task, "sft", config, "queued", clock(), str(tmp_path))
        await store.add_job(job)
        return job

    scheduler = Scheduler(store, parse_rules(3, "", 1, ""), order, clock)
    await label(store, 0, 2)
    assert await scheduler.tick() is None
    await label(store, 2, 3)
    first = await scheduler.tick()
    assert first is not None
    assert ordered == [(first.tenant, "hypotheses")]
    clock.at += timedelta(days=1)
    await label(store, 3, 6, clock.at)
    assert await scheduler.tick() is None, "a job waits"
    await store.ask_to_cancel(first.tenant, first.id, clock())
    assert await scheduler.tick() is not None
    clock.at += timedelta(days=1)
    await store.ask_to_cancel(first.tenant, "j2", clock())
    assert await scheduler.tick() is None, "nothing new"
    assert len(ordered) == 2


@pytest.mark.parametrize("error", [InvalidInput("there are no rows to train on"), RuntimeError("odd")])
async def test_what_cannot_be_ordered_rests_for_a_while(store: SQLStore, error: Exception) -> None:
    clock, tries = Clock(), []

    async def refuse(tenant: str, task: str) -> TrainingJob:
        tries.append(clock())
        raise error

    scheduler = Scheduler(store, parse_rules(1, "", 0, ""), refuse, clock)
    await label(store, 0, 1)
    for _ in range(3):
        assert await scheduler.tick() is None
    assert len(tries) == 1
    clock.at += timedelta(hours=1)
    await scheduler.tick()
    assert len(tries) == 2
