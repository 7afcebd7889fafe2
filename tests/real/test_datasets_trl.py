"""The files of ModelTrainer, read by the TRL and the datasets library that a training run has."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.services.training import ModelTrainer, TrainingDataCollector
from tests.nouns import a_choice, a_facet, a_feedback, a_selection, an_interaction, at
from tests.unit.test_trainer import asked

pytestmark = pytest.mark.train
ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("TRAINING_PYTHON") or str(ROOT / "venv-train" / "bin" / "python")


async def prepared(directory: Path) -> list[Path]:
    """Five files with rows, of 12 users, some of them held out."""
    collector = TrainingDataCollector(directory)
    found = [{"id": "m1", "text": "tea"}, {"id": "m2", "text": "rain"}]
    for number in range(12):
        user = f"user{number}"
        request = asked(
            f"r{number}", f"build {'abcdefghijkl'[number] * 3}", user_id=user, created_at=at(number)
        )
        search = an_interaction(
            f"q{number}", kind="search", input_text="drinks?", answer={"results": found}, user_id=user
        )
        choice = replace(a_choice(f"c{number}"), user_id=user)
        facet = a_facet(f"f{number}", name="a flat", value="in town", evidence=(choice.id,))
        collector.record_selection(request, a_selection(request.id, user_id=user, hypothesis_id="h1"))
        marks = a_feedback(
            f"b{number}", useful=("m1",), not_useful=("m2",), request_id=search.id, user_id=user
        )
        collector.record_feedback(marks, search)
        collector.record_choice(choice)
        collector.record_persona_update("default", user, None, facet, choice.id, {"backend": "heuristic"})
    datasets = await ModelTrainer(collector).prepare_training_dataset(eval_share=0.0)
    return [*datasets.values(), datasets["preferences"].parent / "preferences_kto.jsonl"]


async def test_trl_takes_every_file_for_a_conversation_of_its_kind(tmp_path: Path) -> None:
    paths = await prepared(tmp_path / "records")
    script = Path(__file__).with_name("reads_datasets.py")
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs in this loop
        [PYTHON, str(script), *map(str, paths)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    assert {name: told["rows"] for name, told in read.items()} == {
        "hypotheses.jsonl": 12,
        "persona_updates.jsonl": 1,
        "ranking.jsonl": 2,
        "preferences.jsonl": 12,
        "preferences_kto.jsonl": 24,
    }
    assert all(told["conversational"] and told["text"] for told in read.values())
    assert all(told["prompt_ends"] == [True] for told in read.values())
    assert read["preferences.jsonl"]["unpaired"] == 24
    assert read["hypotheses.jsonl"]["roles"] == ["assistant", "system", "user"]
    assert read["preferences_kto.jsonl"]["columns"] == ["completion", "label", "prompt", "weight"]
