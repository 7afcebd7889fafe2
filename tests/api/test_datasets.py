"""From answers of the rules, over HTTP, to rows that a model is trained on; and out of them again."""

from __future__ import annotations

import json
from pathlib import Path

from app.clients.slm.instructions import GENERATE
from app.models import Adapter
from app.services.training import ModelTrainer, TrainingDataCollector
from app.services.training.redact import alias
from app.wiring import open_services
from tests.api.conftest import running, settings_in
from tests.api.test_story import ask, pick


async def test_what_rules_answered_trains_a_model_until_its_user_is_erased(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, enable_training_data_collection=True)
    directory = tmp_path / "training"
    async with running(settings) as client:
        answer = await ask(client)
        await pick(client, answer)
        await client.get("/v1/personas/ada")
    datasets = await ModelTrainer(TrainingDataCollector(directory)).prepare_training_dataset()
    (row,) = [json.loads(line) for line in datasets["hypotheses"].read_text().splitlines()]
    asked = json.loads(row["prompt"][-1]["content"])
    wanted = json.loads(row["completion"][0]["content"])["hypotheses"]
    assert row["prompt"][0] == {"role": "system", "content": GENERATE}
    assert (asked["request"], asked["count"]) == ("build api", len(wanted))
    assert wanted[0]["question"] == answer["hypotheses"][0]["question"]
    assert datasets["persona_updates"].read_bytes()
    async with running(settings) as client:
        receipt = (await client.delete("/v1/users/ada")).json()
    assert receipt["datasets"][datasets["hypotheses"].parent.name] == 1
    assert receipt["training_files"]["hypotheses_data.jsonl"] >= 1
    assert [path for path in directory.rglob("*.jsonl") if "ada" in path.read_text()] == []
    assert datasets["hypotheses"].read_bytes() == b""


async def test_the_receipt_names_the_adapters_that_were_trained_on_the_user(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with open_services(settings) as services:
        for name, users in (("hypotheses-1", ("ada@example.com", "bob")), ("hypotheses-2", ("bob",))):
            adapter = Adapter(name, "p", "base", 8, digest=name)
            await services.store.add_adapter(adapter, [alias(user) for user in users])
        receipt = await services.privacy.erase("default", "ada@example.com")
        assert receipt["adapters"] == ["hypotheses-1"]
        assert (await services.privacy.erase("default", "ada@example.com"))["adapters"] == []
        tainted = await services.store.list_adapters("default", states=["tainted"])
        assert [adapter.name for adapter in tainted] == ["hypotheses-1"]
