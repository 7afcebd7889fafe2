"""What every store promises of experiments: one running, the first verdict, and outcomes joined late."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.errors import Conflict, NotFound
from app.models import Outcome
from app.storage.base import Store
from tests.nouns import a_feedback, a_selection, an_advance, an_experiment, an_exposure, an_interaction, at


async def test_what_is_added_is_found_in_its_tenant_alone(store: Store) -> None:
    await store.add_experiment(an_experiment())
    assert await store.get_experiment("default", "x1") == an_experiment()
    assert await store.get_experiment("other", "x1") is None
    assert await store.outcomes("default", "x1") == []


async def test_one_runs_for_a_tenant_and_a_task(store: Store) -> None:
    await store.add_experiment(an_experiment())
    with pytest.raises(Conflict):
        await store.add_experiment(an_experiment("x2"))
    await store.add_experiment(an_experiment("x2", task="ranking"))
    await store.add_experiment(an_experiment("x1", tenant="other"))
    await store.end_experiment("default", "x1", "stopped", "by hand", at(5))
    await store.add_experiment(an_experiment("x3"))
    with pytest.raises(Conflict):
        await store.add_experiment(an_experiment("x1", verdict="stopped"))


async def test_lists_are_newest_first(store: Store) -> None:
    first = an_experiment("x1", verdict="futile", ended_at=at(1))
    second = an_experiment("x2", started_at=at(2))
    foreign = an_experiment("x3", tenant="other", started_at=at(3))
    for experiment in (second, first, foreign):
        await store.add_experiment(experiment)
    assert await store.list_experiments("default") == [second, first]
    assert await store.list_experiments(None) == [foreign, second, first]
    assert await store.list_experiments(None, "running") == [foreign, second]
    assert await store.list_experiments(None, limit=1) == [foreign]


async def test_from_shadow_to_canary_once(store: Store) -> None:
    await store.add_experiment(an_experiment())
    begun = await store.begin_canary("default", "x1", at(1))
    since = "canary since 2026-11-21 12:00:01 UTC"
    assert begun == an_experiment(phase="canary", reason=since, canary_since=at(1))
    assert await store.get_experiment("default", "x1") == begun
    with pytest.raises(Conflict):
        await store.begin_canary("default", "x1", at(2))
    with pytest.raises(NotFound):
        await store.begin_canary("other", "x1", at(2))
    await store.end_experiment("default", "x1", "futile", "", at(3))
    await store.add_experiment(an_experiment("x2"))
    await store.end_experiment("default", "x2", "stopped", "", at(4))
    with pytest.raises(Conflict):
        await store.begin_canary("default", "x2", at(5))


async def test_the_first_verdict_stands(store: Store) -> None:
    await store.add_experiment(an_experiment())
    ended = an_experiment(verdict="promoted", reason="the bound is above zero", ended_at=at(9))
    said = ("default", "x1", "promoted", "the bound is above zero", at(9))
    assert await store.end_experiment(*said) == (ended, True)  # type: ignore[arg-type]
    assert await store.end_experiment("default", "x1", "rolled_back", "late", at(10)) == (ended, False)
    assert await store.get_experiment("default", "x1") == ended
    with pytest.raises(NotFound):
        await store.end_experiment("other", "x1", "stopped", "", at(1))


async def test_outcomes_join_what_was_said_by_request(store: Store) -> None:
    shown = [an_exposure(f"r{n}", at=at(10 - n), milliseconds=n + 0.5) for n in range(5)]
    shown[1] = replace(shown[1], arm="control", degraded=True, shadow={"agreement": 0.5, "valid": True})
    for exposure in shown:
        await store.add_interaction(an_interaction(exposure.request_id))
        await store.add_exposure(exposure)
    await store.add_exposure(an_exposure("r0", experiment_id="x2", user_id="bob"))
    await store.add_interaction(an_interaction("r0", tenant="other"))
    await store.add_exposure(an_exposure("r0", tenant="other"))
    await store.add_selection(a_selection("r0"))
    await store.add_selection(a_selection("r1", hypothesis_id=None, option=None, free_text="a shed"))
    for token, request_id in (("t1", "r2"), ("t2", "r3")):
        await store.open_advance(an_advance(token, request_id=request_id))
    await store.undo_advance("default", "t1", at(1))
    await store.add_feedback(a_feedback("b2", request_id="r3", rating=-0.5, created_at=at(20)))
    await store.add_feedback(a_feedback("b1", request_id="r3", rating=1.0, created_at=at(10)))
    assert await store.outcomes("default", "x1") == [
        Outcome(shown[4], selected=False, none_fitted=False, undone=False, rating=None),
        Outcome(shown[3], selected=False, none_fitted=False, undone=False, rating=-0.5),
        Outcome(shown[2], selected=False, none_fitted=False, undone=True, rating=None),
        Outcome(shown[1], selected=False, none_fitted=True, undone=False, rating=None),
        Outcome(shown[0], selected=True, none_fitted=False, undone=False, rating=None),
    ]


async def test_what_is_said_too_late_is_left_out(store: Store) -> None:
    for request_id in ("r1", "r2", "r3"):
        await store.add_interaction(an_interaction(request_id))
        await store.add_exposure(an_exposure(request_id, at=at(0)))
    await store.add_selection(a_selection("r1", created_at=at(61)))
    await store.open_advance(an_advance("t1", request_id="r2"))
    await store.undo_advance("default", "t1", at(61))
    await store.add_feedback(a_feedback("b1", request_id="r3", rating=1.0, created_at=at(60)))
    await store.add_feedback(a_feedback("b2", request_id="r3", rating=-1.0, created_at=at(61)))
    told = [
        [(one.selected, one.undone, one.rating) for one in await store.outcomes("default", "x1", within)]
        for within in (timedelta(seconds=60), timedelta(seconds=61), None)
    ]
    assert told[0] == [(False, False, None), (False, False, None), (False, False, 1.0)]
    assert told[1] == told[2] == [(True, False, None), (False, True, None), (False, False, -1.0)]


async def test_nothing_is_kept_of_a_request_that_is_no_more(store: Store) -> None:
    await store.add_interaction(an_interaction())
    await store.erase_user("default", "ann")
    await store.add_exposure(an_exposure())
    assert await store.outcomes("default", "x1") == []
    assert await store.list_users("default") == []


async def test_a_request_is_exposed_once(store: Store) -> None:
    await store.add_interaction(an_interaction())
    await store.add_exposure(an_exposure())
    with pytest.raises(Conflict):
        await store.add_exposure(an_exposure(arm="control"))


async def test_erasure_takes_exposures_along(store: Store) -> None:
    await store.add_interaction(an_interaction())
    await store.add_interaction(an_interaction("r2", user_id="bob"))
    await store.add_exposure(an_exposure(shadow={"valid": True}))
    await store.add_exposure(an_exposure("r2", user_id="bob"))
    assert await store.list_users("default") == [("default", "ann"), ("default", "bob")]
    (held,) = (await store.export_user("default", "ann"))["exposures"]
    assert (held["experiment_id"], held["arm"], held["shadow"]) == ("x1", "candidate", {"valid": True})
    assert held["at"] == at(1).isoformat()
    assert await store.erase_user("default", "ann") == {"exposures": 1, "interactions": 1}
    assert [one.exposure.user_id for one in await store.outcomes("default", "x1")] == ["bob"]
