"""From answers of the rules, over HTTP, to rows that a model is trained on; and out of them again."""

from __future__ import annotations

import json
from pathlib import Path

from app.clients.slm.instructions import GENERATE
from app.services.training import ModelTrainer, TrainingDataCollector
from tests.api.conftest import running, settings_in
from tests.api.test_story import ask, pick


async def test_what_rules_answered_trains_a_model_until_its_user_is_erased(tmp_path: Path) -> None:
    async with running(settings_in(tmp_path, enable_training_data_collection=True)) as client:
        answer = await ask(client)
        await pick(client, answer)
        await client.get("/v1/personas/ada")
        directory = tmp_path / "training"
        collector = TrainingDataCollector(directory)
        for _ in range(200):
            datasets = await ModelTrainer(collector).prepare_training_dataset()
            if datasets["hypotheses"].read_bytes() and datasets["persona_updates"].read_bytes():
                break
        (row,) = [json.loads(line) for line in datasets["hypotheses"].read_text().splitlines()]
        assert row["prompt"][0] == {"role": "system", "content": GENERATE}
        assert json.loads(row["prompt"][-1]["content"])["request"] == "build api"
        wanted = json.loads(row["completion"][0]["content"])["hypotheses"]
        assert wanted[0]["question"] == answer["hypotheses"][0]["question"]
        assert len(wanted) == json.loads(row["prompt"][-1]["content"])["count"]

        receipt = (await client.delete("/v1/users/ada")).json()
        assert receipt["datasets"][datasets["hypotheses"].parent.name] == 1
        assert receipt["training_files"]["hypotheses_data.jsonl"] >= 1
        left = [path for path in directory.rglob("*.jsonl") if "ada" in path.read_text()]
        assert left == []
        assert datasets["hypotheses"].read_bytes() == b""
