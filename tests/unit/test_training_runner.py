"""The runner of training jobs, with real processes and a real database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.errors import InvalidInput, StorageError
from app.models import TrainingJob
from app.services.training.endings import HandedOver
from app.services.training.jobs import TrainingJobs
from app.services.training.processes import MARK, birth
from app.services.training.runner import Interpreter
from app.storage.sql import SQLStore
from tests.training_jobs import TERMS, a_runner, an_order, eventually, store_in


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLStore]:
    opened = await store_in(tmp_path)
    yield opened
    await opened.aclose()


@pytest.fixture
def jobs(store: SQLStore, tmp_path: Path) -> TrainingJobs:
    return TrainingJobs(store, tmp_path / "jobs", wake=lambda: None, poll_seconds=0.02)


def log_of(job: TrainingJob) -> str:
    return (Path(job.directory) / "log.txt").read_text()


async def begun(jobs: TrainingJobs, job: TrainingJob) -> None:
    async def holds() -> bool:
        return (await jobs.get(job.tenant, job.id)).progress.get("step") == 1

    await eventually(holds)


async def test_a_job_runs_to_its_end(store: SQLStore, jobs: TrainingJobs, tmp_path: Path) -> None:
    queued = await jobs.add(an_order(tmp_path))
    handed: list[tuple[str, Path]] = []

    async def register(job: TrainingJob, trained: Path) -> HandedOver:
        handed.append((job.id, trained))
        return HandedOver("hypotheses-0123456789ab", "not examined")

    ended = await a_runner(store, tmp_path, finish=register).run_next()
    assert ended is not None
    assert ended == await jobs.get("default", queued.id)
    assert (ended.status, ended.adapter, ended.detail) == (
        "succeeded",
        "hypotheses-0123456789ab",
        "not examined",
    )
    assert (ended.progress["step"], ended.progress["loss"]) == (3, pytest.approx(1 / 3))
    assert handed == [(queued.id, Path(queued.directory) / "output")]
    assert not (Path(ended.directory) / MARK).exists()


@pytest.mark.parametrize(
    ("behaviour", "detail"),
    [
        ("crash", "exit status 1: not a number"),
        ("fill_disk", "the disk is full"),
        ("starve", "killed (signal 9), as when memory runs out"),
        ("end_early", "ended without a result: attempt from step 0"),
        ("stray", "elsewhere than it was told to"),
    ],
)
async def test_a_failure_is_told_in_one_line(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path, behaviour: str, detail: str
) -> None:
    await jobs.add(an_order(tmp_path, behaviour))
    ended = await a_runner(store, tmp_path).run_next()
    assert ended is not None
    assert ended.status == "failed"
    assert detail in ended.detail
    assert "\n" not in ended.detail


async def test_a_missing_interpreter_is_told_with_the_mend(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path
) -> None:
    await jobs.add(an_order(tmp_path))
    ended = await a_runner(store, tmp_path, interpreter=Interpreter(tmp_path / "absent", {})).run_next()
    assert ended is not None
    assert ended.status == "failed"
    assert "scripts/setup_train.sh" in ended.detail


async def test_a_result_that_cannot_be_registered_is_kept(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path
) -> None:
    async def refuse(job: TrainingJob, trained: Path) -> HandedOver:
        raise InvalidInput("its rank is too large")

    await jobs.add(an_order(tmp_path))
    ended = await a_runner(store, tmp_path, finish=refuse).run_next()
    assert ended is not None
    assert (ended.status, ended.detail) == ("succeeded", "trained, but not registered: its rank is too large")


@pytest.mark.parametrize("behaviour", ["hang", "hang_on"])
async def test_a_job_is_cancelled_even_if_it_is_deaf_and_goes_on_where_it_was(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path, behaviour: str
) -> None:
    job = await jobs.add(an_order(tmp_path, behaviour))
    async with a_runner(store, tmp_path).running():
        await begun(jobs, job)
        mark = json.loads((Path(job.directory) / MARK).read_text())
        assert birth(mark["pid"]) == mark["birth"]
        await jobs.cancel("default", job.id)
        events = [event async for event in await jobs.follow("default", job.id)]
        assert events[-1].job is not None
        assert events[-1].job.status == "cancelled"
        assert birth(mark["pid"]) is None
        await jobs.resume("default", job.id)
        events = [event async for event in await jobs.follow("default", job.id)]
    assert events[-1].job is not None
    assert events[-1].job.status == "succeeded"
    assert log_of(job).splitlines() == ["attempt from step 0", "attempt from step 1"]


async def test_a_queued_job_is_cancelled_without_a_process(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path
) -> None:
    job = await jobs.add(an_order(tmp_path))
    assert (await jobs.cancel("default", job.id)).status == "cancelled"
    assert await a_runner(store, tmp_path).run_next() is None
    assert not (tmp_path / "jobs" / job.id).exists()


async def test_a_service_that_stops_leaves_the_job_to_the_next_one(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path
) -> None:
    job = await jobs.add(an_order(tmp_path, "hang"))
    async with a_runner(store, tmp_path).running():
        await begun(jobs, job)
    stopped = await jobs.get("default", job.id)
    assert stopped.status == "queued"
    assert not (Path(job.directory) / MARK).exists()
    ended = await a_runner(store, tmp_path).run_next()
    assert ended is not None
    assert ended.status == "succeeded"
    assert log_of(job).splitlines() == ["attempt from step 0", "attempt from step 1"]


async def test_two_runners_on_one_database_run_one_job_at_a_time(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path
) -> None:
    first, second = [await jobs.add(an_order(tmp_path, behaviour)) for behaviour in ("hang", "finish")]
    async with a_runner(store, tmp_path).running():
        await begun(jobs, first)
        other = await store_in(tmp_path)
        assert await a_runner(other, tmp_path).run_next() is None
        assert (await jobs.get("default", second.id)).status == "queued"
        await other.aclose()


async def test_a_runner_killed_by_force_is_seen_and_its_process_ended_before_the_resume(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path
) -> None:
    job = await jobs.add(an_order(tmp_path, "hang_on"))
    victim = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.training_jobs", str(tmp_path))
    await begun(jobs, job)
    victim.kill()
    assert await victim.wait() == -signal.SIGKILL
    orphan = json.loads((Path(job.directory) / MARK).read_text())
    assert birth(orphan["pid"]) == orphan["birth"]

    later = a_runner(store, tmp_path, now=lambda: datetime.now(UTC) + timedelta(minutes=5))
    assert await later.run_next() is None
    assert (await jobs.get("default", job.id)).status == "lost"
    await jobs.resume("default", job.id)
    ended = await later.run_next()
    assert ended is not None
    assert (ended.status, ended.detail) == ("succeeded", "")
    assert birth(orphan["pid"]) is None
    assert log_of(job).splitlines() == ["attempt from step 0", "attempt from step 1"]


async def test_a_process_that_has_the_pid_of_a_dead_one_is_left_alone(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path
) -> None:
    stranger = await asyncio.create_subprocess_exec("sleep", "600", start_new_session=True)
    left = tmp_path / "jobs" / "of-a-dead-runner"
    left.mkdir(parents=True)
    (left / MARK).write_text(json.dumps({"pid": stranger.pid, "birth": "another boot 1"}))
    await jobs.add(an_order(tmp_path))
    ended = await a_runner(store, tmp_path).run_next()
    assert ended is not None
    assert ended.status == "succeeded"
    assert birth(stranger.pid) is not None
    stranger.kill()
    await stranger.wait()


async def test_what_a_killed_runner_could_not_register_is_registered_at_the_resume(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path
) -> None:
    """The process had ended, its output was whole, and only the job's own end was not written."""
    job = await jobs.add(an_order(tmp_path))
    assert await store.claim_job("dead", datetime.now(UTC) - timedelta(hours=1), 1) is not None
    output = Path(job.directory) / "output"
    output.mkdir(parents=True)
    (output.parent / "progress.jsonl").write_text(
        '{"event": "step", "step": 3}\n' + json.dumps({"event": "done", "adapter": str(output)}) + "\n"
    )
    runner = a_runner(store, tmp_path)
    assert await runner.run_next() is None
    await jobs.resume("default", job.id)
    ended = await runner.run_next()
    assert ended is not None
    assert ended.status == "succeeded"
    assert not (Path(job.directory) / "log.txt").exists()


async def test_secrets_are_not_handed_to_the_process(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path
) -> None:
    job = await jobs.add(an_order(tmp_path, "tell_environment"))
    await a_runner(store, tmp_path).run_next()
    told = json.loads(log_of(job).splitlines()[1])
    assert told["PATH"] == os.environ["PATH"]
    assert told.keys() <= {"PATH", "PWD", "SHLVL", "_", "OLDPWD", "LC_CTYPE"}


class SilentAfterTheClaim:
    """A database that goes away while a job runs."""

    def __init__(self, store: SQLStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def beat_job(self, *_: Any) -> bool:
        raise StorageError


async def test_without_a_database_nothing_is_trained_beyond_the_lease(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path
) -> None:
    job = await jobs.add(an_order(tmp_path, "hang"))
    terms = replace(TERMS, owner="me", lease_seconds=0.2)
    ended = await a_runner(SilentAfterTheClaim(store), tmp_path, terms=terms).run_next()
    assert ended is not None
    assert ended.status == "lost"
    assert "the database did not answer" in ended.detail
    assert not (Path(job.directory) / MARK).exists()


@pytest.mark.parametrize("behaviour", ["finish", "crash"])
async def test_followers_see_log_and_progress_and_the_end(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path, behaviour: str
) -> None:
    job = await jobs.add(an_order(tmp_path, behaviour))
    async with a_runner(store, tmp_path).running():
        events = [event async for event in await jobs.follow("default", job.id)]
    told = [event for event in events if event.kind != "quiet"]
    assert told[0].data == {"line": "attempt from step 0"}
    steps = [event.data["step"] for event in told if event.kind == "progress"]
    assert steps == ([1, 2, 3] if behaviour == "finish" else [1])
    assert told[-1].kind == "end"
    for place, event in enumerate(told[:-1]):
        rest = [one async for one in await jobs.follow("default", job.id, event.place)]
        assert [one.data for one in rest if one.kind == event.kind] == [
            one.data for one in told[place + 1 :] if one.kind == event.kind
        ]


@pytest.mark.parametrize("after", ["1", "x-1", "1-2-3", "-1-0", "٣-0", "9" * 40 + "-0"])
async def test_a_place_that_is_not_ours_is_refused(
    store: SQLStore, jobs: TrainingJobs, tmp_path: Path, after: str
) -> None:
    job = await jobs.add(an_order(tmp_path))
    with pytest.raises(InvalidInput):
        await jobs.follow("default", job.id, after)
