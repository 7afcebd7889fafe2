"""What every store promises of training jobs: one at a time, by a lease; lost ones are seen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.errors import Conflict, NotFound
from app.models import TrainingJob
from app.storage.base import Store
from tests.nouns import a_job, at

LEASE = 30.0


async def claimed(store: Store, seconds: float = 1) -> TrainingJob:
    job = await store.claim_job("w1", at(seconds), LEASE)
    assert job is not None
    return job


async def test_what_is_added_is_found_in_its_tenant_alone(store: Store) -> None:
    await store.add_job(a_job(config={"model": "$(rm)'\n\""}))
    assert await store.get_job("default", "j1") == a_job(config={"model": "$(rm)'\n\""})
    assert await store.get_job("other", "j1") is None
    with pytest.raises(Conflict):
        await store.add_job(a_job())


async def test_pages_together_are_the_list_newest_first(store: Store) -> None:
    jobs = [a_job(f"j{n}", created_at=at(n // 2)) for n in range(7)]
    for job in (*jobs, a_job("foreign", tenant="other", created_at=at(99))):
        await store.add_job(job)
    paged: list[TrainingJob] = []
    cursor: str | None = None
    for _ in range(3):
        page, cursor = await store.list_jobs("default", 3, cursor)
        paged += page
    assert (paged, cursor) == (jobs[::-1], None)
    assert (await store.list_jobs(None, 1, None))[0][0].id == "foreign"


async def test_the_oldest_runs_first_and_alone(store: Store) -> None:
    await store.add_job(a_job("j2", created_at=at(2)))
    await store.add_job(a_job("j1", tenant="other", created_at=at(1)))
    first = await claimed(store, 3)
    running = a_job("j1", tenant="other", created_at=at(1), status="running", started_at=at(3))
    assert first == running
    assert await store.get_job("other", "j1") == running
    assert await store.claim_job("w2", at(4), LEASE) is None
    done = replace(running, status="succeeded", ended_at=at(5), adapter="a", detail="", progress={"step": 9})
    await store.end_job(done, "w1")
    assert await store.get_job("other", "j1") == done
    assert (await claimed(store, 6)).id == "j2"
    assert await store.claim_job("w1", at(6), LEASE) is None


async def test_nothing_to_claim(store: Store) -> None:
    assert await store.claim_job("w1", at(0), LEASE) is None
    await store.add_job(a_job(status="failed"))
    assert await store.claim_job("w1", at(0), LEASE) is None


async def test_a_beat_renews_the_lease_and_keeps_the_progress(store: Store) -> None:
    await store.add_job(a_job())
    await store.add_job(a_job("j2", created_at=at(1)))
    await claimed(store, 0)
    assert await store.beat_job("default", "j1", "w1", at(29), LEASE, {"step": 3})
    assert await store.claim_job("w2", at(58), LEASE) is None
    held = await store.get_job("default", "j1")
    assert held is not None
    assert (held.status, held.progress) == ("running", {"step": 3})
    assert not await store.beat_job("default", "j1", "w2", at(58), LEASE, {"step": 9})
    assert not await store.beat_job("other", "j1", "w1", at(58), LEASE, {"step": 9})
    assert not await store.beat_job("default", "j2", "w1", at(58), LEASE, {"step": 9})
    assert await store.get_job("default", "j1") == held


async def test_a_silent_worker_loses_its_job(store: Store) -> None:
    await store.add_job(a_job())
    await store.add_job(a_job("j2", created_at=at(1)))
    running = await claimed(store, 0)
    await store.beat_job("default", "j1", "w1", at(1), LEASE, {"step": 3})
    taken = await store.claim_job("w2", at(31), LEASE)
    assert taken is not None
    assert taken.id == "j2"
    lost = replace(running, status="lost", ended_at=at(31), progress={"step": 3})
    assert await store.get_job("default", "j1") == replace(lost, detail="its worker fell silent")
    assert not await store.beat_job("default", "j1", "w1", at(32), LEASE, {"step": 4})
    with pytest.raises(Conflict):
        await store.end_job(replace(running, status="succeeded", ended_at=at(33)), "w1")
    again = await store.requeue_job("default", "j1")
    assert again == a_job(progress={"step": 3})
    await store.end_job(replace(taken, status="failed", ended_at=at(40), detail="no disk"), "w2")
    assert (await claimed(store, 41)).id == "j1"


async def test_a_lost_job_is_seen_where_nothing_is_queued(store: Store) -> None:
    await store.add_job(a_job())
    await claimed(store, 0)
    assert await store.claim_job("w2", at(30), LEASE) is None
    lost = await store.get_job("default", "j1")
    assert lost is not None
    assert (lost.status, lost.ended_at) == ("lost", at(30))


async def test_a_queued_job_is_cancelled_at_once(store: Store) -> None:
    await store.add_job(a_job())
    cancelled = await store.ask_to_cancel("default", "j1", at(2))
    assert cancelled == a_job(status="cancelled", ended_at=at(2))
    assert await store.claim_job("w1", at(3), LEASE) is None
    with pytest.raises(Conflict):
        await store.ask_to_cancel("default", "j1", at(4))
    with pytest.raises(NotFound):
        await store.ask_to_cancel("other", "j1", at(4))


async def test_a_running_job_is_told_at_its_next_beat(store: Store) -> None:
    await store.add_job(a_job())
    running = await claimed(store, 0)
    for _ in range(2):
        asked = await store.ask_to_cancel("default", "j1", at(2))
        assert asked == replace(running, cancel_asked=True)
    assert not await store.beat_job("default", "j1", "w1", at(3), LEASE, {"step": 1})
    ended = replace(asked, status="cancelled", ended_at=at(4), progress={"step": 1})
    await store.end_job(ended, "w1")
    assert await store.get_job("default", "j1") == ended
    assert await store.requeue_job("default", "j1") == a_job(progress={"step": 1})


@pytest.mark.parametrize("status", ["queued", "running", "succeeded"])
async def test_what_needs_no_second_run_gets_none(store: Store, status: str) -> None:
    await store.add_job(a_job(status=status))
    with pytest.raises(Conflict):
        await store.requeue_job("default", "j1")
    with pytest.raises(NotFound):
        await store.requeue_job("other", "j1")
