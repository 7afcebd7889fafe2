"""What a training run leaves: registered with its lineage, examined, on trial if it passes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.errors import Conflict, NotSupported
from app.models import Adapter, TrainingJob
from app.services.bundle import Services
from app.services.candidates import Candidates, Then
from app.services.exam import Examiner
from app.wiring import open_services
from tests.adapter_directories import write_adapter
from tests.api.conftest import settings_in
from tests.unit.test_exam import Replica, Trainer

BETTER, WORSE = 1.0, 3.0


class AnyCandidate(dict[str, float]):
    """The base has an NLL of 2; every adapter the one given."""

    def __missing__(self, name: str) -> float:
        return 2.0 if name == "base" else self["adapter"]


@pytest.fixture
async def services(tmp_path: Path) -> AsyncIterator[Services]:
    async with open_services(
        settings_in(tmp_path, adapters_dir=str(tmp_path / "adapters"), vllm_model_name="base")
    ) as found:
        yield found


def candidates(services: Services, nll: float = BETTER, then: Then = "canary") -> Candidates:
    replica = Replica()
    examiner = Examiner(replica, replica, Trainer(AnyCandidate(adapter=nll)), "base", prompts=4)
    return Candidates(services.store, services.promotion, services.training, examiner, then=then)


def job(folder: Path, **config: Any) -> TrainingJob:
    directory = folder / "training" / "jobs" / "j1"
    directory.mkdir(parents=True, exist_ok=True)
    told = {"model_name": "base", "dataset": str(folder / "dataset" / "hypotheses.jsonl"), "save": "adapter"}
    return TrainingJob(
        "j1", "default", "hypotheses", "sft", told | config, "running", datetime.now(UTC), str(directory)
    )


def trained(folder: Path) -> Path:
    return write_adapter(folder / "training" / "jobs" / "j1" / "output", base_model_name_or_path="base")


def note(folder: Path, erased: int, *, users: tuple[str, ...] = ("ann",)) -> None:
    """The job began on a dataset from which nobody had been erased; now `erased` rows are."""
    said = {"digest": "d", "erased": 0, "users": [["default", user] for user in users]}
    (folder / "training" / "jobs" / "j1" / "lineage.json").write_text(json.dumps(said))
    (folder / "dataset").mkdir(exist_ok=True)
    (folder / "dataset" / "manifest.json").write_text(json.dumps({"erased": erased}))


async def test_a_better_one_goes_on_trial(services: Services, tmp_path: Path) -> None:
    name = await candidates(services).finish(job(tmp_path), trained(tmp_path))
    assert name is not None
    tracked = await services.promotion.track("default", name)
    assert [move.after for move in tracked.moves] == ["gated", "loaded"]
    assert tracked.adapter.gates["offline"]["figures"]["rows"] == 40
    (experiment,) = await services.canaries.recent("default")
    assert (experiment.candidate, experiment.phase, experiment.verdict) == (name, "shadow", "running")


async def test_a_worse_one_is_rejected_with_its_figures(services: Services, tmp_path: Path) -> None:
    name = await candidates(services, WORSE).finish(job(tmp_path), trained(tmp_path))
    (adapter,) = await services.promotion.adapters("default")
    assert (adapter.name, adapter.state) == (name, "rejected")
    assert adapter.gates["offline"]["figures"]["nll_gain"] < 0
    assert await services.canaries.recent("default") == []


async def test_it_goes_only_as_far_as_it_is_told(services: Services, tmp_path: Path) -> None:
    await candidates(services, then="register").finish(job(tmp_path), trained(tmp_path))
    (adapter,) = await services.promotion.adapters("default")
    assert adapter.state == "registered"
    judged = await candidates(services).examine("default", adapter.name)
    assert judged.state == "gated"
    assert await services.canaries.recent("default") == []


async def test_a_merged_model_is_no_adapter(services: Services, tmp_path: Path) -> None:
    assert await candidates(services).finish(job(tmp_path, save="merged"), tmp_path) is None
    assert await services.promotion.adapters("default") == []


async def test_without_a_server_nothing_is_examined(services: Services, tmp_path: Path) -> None:
    name = await services.candidates.finish(job(tmp_path), trained(tmp_path))
    assert name is not None
    with pytest.raises(NotSupported):
        await services.candidates.examine("default", name)


async def test_what_was_trained_on_the_erased_is_not_registered(services: Services, tmp_path: Path) -> None:
    work = job(tmp_path)
    note(tmp_path, erased=1)
    with pytest.raises(Conflict, match="erased"):
        await candidates(services).finish(work, trained(tmp_path))
    assert await services.promotion.adapters("default") == []


async def test_an_erasure_while_it_is_registered_taints_it(services: Services, tmp_path: Path) -> None:
    work, output = job(tmp_path), trained(tmp_path)
    note(tmp_path, erased=0)
    register = services.promotion.register

    class Slow:
        """The promotion, with an erasure right after the row was written."""

        def __getattr__(self, name: str) -> Any:
            return getattr(services.promotion, name)

        async def register(self, *said: Any) -> Adapter:
            adapter = await register(*said)
            note(tmp_path, erased=1)
            return adapter

    late: Any = Slow()
    replica = Replica()
    examiner = Examiner(replica, replica, Trainer(AnyCandidate(adapter=BETTER)), "base")
    with pytest.raises(Conflict, match="erased"):
        await Candidates(services.store, late, services.training, examiner).finish(work, output)
    (adapter,) = await services.promotion.adapters("default")
    assert adapter.state == "tainted"
    assert await services.store.adapters_trained_on("default", "ann") == []
