"""What a training run leaves: registered with its lineage, examined, on trial if it passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.errors import Conflict, NotSupported, TrainingFailed
from app.models import Adapter, TrainingJob
from app.services.background import Background
from app.services.bundle import Services
from app.services.candidates import Candidates, Then
from app.services.exam import Evaluation, Examiner
from app.services.training.endings import HandedOver
from app.wiring import open_services
from tests.adapter_directories import write_adapter
from tests.api.conftest import running, settings_in
from tests.api.test_training import picked, training_settings
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
    name = (await candidates(services).finish(job(tmp_path), trained(tmp_path))).adapter
    assert name is not None
    tracked = await services.promotion.track("default", name)
    assert [move.after for move in tracked.moves] == ["gated", "loaded"]
    assert tracked.adapter.gates["offline"]["figures"]["rows"] == 40
    (experiment,) = await services.canaries.recent("default")
    assert (experiment.candidate, experiment.phase, experiment.verdict) == (name, "shadow", "running")


async def test_a_worse_one_is_rejected_with_its_figures(services: Services, tmp_path: Path) -> None:
    name = (await candidates(services, WORSE).finish(job(tmp_path), trained(tmp_path))).adapter
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
    assert await candidates(services).finish(job(tmp_path, save="merged"), tmp_path) == HandedOver()
    assert await services.promotion.adapters("default") == []


async def test_without_a_server_nothing_is_examined(services: Services, tmp_path: Path) -> None:
    name = (await services.candidates.finish(job(tmp_path), trained(tmp_path))).adapter
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


async def test_what_a_script_trained_is_tied_to_the_users_of_its_dataset(
    services: Services, tmp_path: Path
) -> None:
    dataset = tmp_path / "training" / "datasets" / "default-hypotheses-0123456789ab"
    dataset.mkdir(parents=True)
    manifest = {"tenant": "default", "digest": "d", "files": {"hypotheses.jsonl": {"sha256": "as trained"}}}
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    origin = {
        "file": "hypotheses",
        "row": "r",
        "records": [],
        "users": [["default", "ann"], ["other", "bob"]],
    }
    (dataset / "lineage.jsonl").write_text(json.dumps(origin) + "\n")
    homes = tmp_path / "adapters" / "trained" / "default"
    for seed, name in enumerate(("known", "erased", "nobody")):
        write_adapter(homes / name, seed=seed, base_model_name_or_path="base")
    card = {"manifest_id": dataset.name, "dataset_sha256": "as trained"}
    (homes / "known" / "card.json").write_text(json.dumps(card))
    (homes / "erased" / "card.json").write_text(json.dumps(card | {"dataset_sha256": "before"}))

    known = await services.promotion.register_named("default", "known", "hypotheses", {"by": "hand"})
    assert known.lineage == {"by": "hand", "dataset": dataset.name, "dataset_digest": "d"}
    assert [one.name for one in await services.store.adapters_trained_on("default", "ann")] == [known.name]
    assert await services.store.adapters_trained_on("default", "bob") == []
    with pytest.raises(Conflict, match="erased"):
        await services.promotion.register_named("default", "erased", "hypotheses", {})
    nobody = await services.promotion.register_named("default", "nobody", "hypotheses", {})
    assert nobody.lineage == {"dataset": "unknown"}


class Failing(Trainer):
    """An Evaluator whose first process fails."""

    async def evaluate(self, adapter: Adapter | None, datasets: Sequence[Path], prompts: int) -> Evaluation:
        self.asked.append(("", prompts))
        if len(self.asked) == 1:
            raise TrainingFailed("the evaluation failed: killed")
        return await super().evaluate(adapter, datasets, prompts)


def failing(services: Services) -> Candidates:
    replica = Replica()
    examiner = Examiner(replica, replica, Failing(AnyCandidate(adapter=BETTER)), "base", prompts=4)
    return Candidates(services.store, services.promotion, services.training, examiner)


async def test_an_examination_that_fails_leaves_the_name_and_a_door(
    services: Services, tmp_path: Path
) -> None:
    found = failing(services)
    handed = await found.finish(job(tmp_path), trained(tmp_path))
    name = handed.adapter
    assert name is not None
    assert handed.detail == (
        f"registered as {name}, not examined: the evaluation failed: killed; POST /v1/adapters/{name}/examine"
    )
    tracked = await services.promotion.track("default", name)
    assert (tracked.adapter.state, tracked.moves[-1].after) == ("registered", "registered")
    assert tracked.moves[-1].reason == "not examined: the evaluation failed: killed"
    assert (await found.examine("default", name)).state == "gated"


async def test_it_is_examined_in_the_background_once_at_a_time(services: Services, tmp_path: Path) -> None:
    name = (await candidates(services, then="register").finish(job(tmp_path), trained(tmp_path))).adapter
    assert name is not None
    async with Background() as background:
        replica = Replica()
        examiner = Examiner(replica, replica, Trainer(AnyCandidate(adapter=BETTER)), "base", prompts=4)
        found = Candidates(
            services.store, services.promotion, services.training, examiner, background=background
        )
        assert (await found.begin("default", name)).state == "registered"
        with pytest.raises(Conflict, match="is being examined"):
            await found.begin("default", name)
    assert (await services.promotion.track("default", name)).adapter.state == "gated"
    await services.promotion.promote("default", name)
    with pytest.raises(Conflict, match="is live"):
        await found.begin("default", name)


class Reader(Trainer):
    """An Evaluator that keeps what it was given to read."""

    rows: list[int]

    async def evaluate(self, adapter: Adapter | None, datasets: Sequence[Path], prompts: int) -> Evaluation:
        self.rows = [len(path.read_bytes().splitlines()) for path in datasets]
        return await super().evaluate(adapter, datasets, prompts)


async def test_nothing_is_held_against_it_that_it_was_trained_on(tmp_path: Path) -> None:
    settings = training_settings(tmp_path, vllm_model_name="base")
    async with running(settings) as client:
        await picked(client)
        asked = {"user_id": "ann", "input_text": "Create a website for my shop"}
        answer = (await client.post("/v1/hypothesize", json=asked)).json()
        hypothesis = next(one for one in answer["hypotheses"] if one["options"])
        said = {"hypothesis_id": hypothesis["id"], "option": hypothesis["options"][0]}
        said["request_id"] = answer["request_id"]
        assert (await client.post("/v1/selections", json=said)).status_code == 200
    async with open_services(settings) as services:
        (made,) = await services.training.prepare("default", ["hypotheses"])
        lines = made.path.with_suffix(".eval.jsonl").read_bytes().splitlines(keepends=True)
        assert lines
        learned = made.path.parent.with_name("default-hypotheses-0123456789ab")
        shutil.copytree(made.path.parent, learned)
        (learned / made.path.name).write_bytes(lines[0])
        adapter = await services.promotion.register(
            "default", trained(tmp_path), "hypotheses", {"dataset": learned.name}
        )
        reader = Reader(AnyCandidate(adapter=BETTER))
        replica = Replica()
        examiner = Examiner(replica, replica, reader, "base", prompts=4)
        await Candidates(services.store, services.promotion, services.training, examiner).examine(
            "default", adapter.name
        )
        assert reader.rows[0] == len(lines) - 1
