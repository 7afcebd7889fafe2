"""The evaluator: a process of its own, read back; what it cannot do is told in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from app.errors import TrainingFailed
from app.models import Adapter
from app.services.training.datasets import row_id
from app.services.training.evaluation import RecipeEvaluator
from app.services.training.runner import Interpreter

ADAPTER = Adapter("hypotheses-b", "/adapters/b", "base", 16)
ROWS = [
    {
        "prompt": [{"role": "user", "content": json.dumps({"count": 2, "request": f"build {n}"})}],
        "weight": 1.0,
    }
    for n in range(3)
]
GOOD = """
import json, sys
config = json.load(open(sys.argv[0].replace(".py", ".json")))
with open(config["output"], "w") as file:
    for dataset in config["datasets"]:
        for number, row in enumerate(map(json.loads, open(dataset))):
            say = {"dataset": dataset, "adapter": config["adapters"][0], "row": number}
            print(json.dumps({"event": "row", "nll": 1.5, "margin": -0.5, **say}), file=file)
            tokens = {"prompt_ids": [1], "token_ids": [2], "logprobs": [-0.1], "text": "t"}
            if number < config["prompts"]:
                said = {"event": "continuation", "messages": row["prompt"], **tokens, **say}
                print(json.dumps(said), file=file)
    print(json.dumps({"event": "done", "seconds": 1}), file=file)
"""


def evaluator(directory: Path, source: str) -> RecipeEvaluator:
    def lay(recipe: str, config: Mapping[str, Any], script: Path) -> Path:
        assert recipe == "evaluate"
        script.write_text(source)
        script.with_suffix(".json").write_text(json.dumps(config))
        return script

    python = Interpreter(Path(sys.executable), {})
    return RecipeEvaluator(python, directory / "evaluations", "base", seconds=20, lay=lay)


def held_out(directory: Path, rows: list[dict[str, Any]]) -> Path:
    path = directory / "hypotheses.eval.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lineage = [{"file": "hypotheses", "row": row_id(row), "users": [["default", "ada"]]} for row in rows[:2]]
    (directory / "lineage.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lineage))
    return path


async def test_rows_and_continuations_come_back_as_values(tmp_path: Path) -> None:
    found = await evaluator(tmp_path, GOOD).evaluate(ADAPTER, [held_out(tmp_path, ROWS)], prompts=2)
    assert [(row.nll, row.margin) for row in found.rows] == [(1.5, -0.5)] * 3
    first, second, stranger = (row.group for row in found.rows)
    assert first == second != stranger
    assert [one.count for one in found.continuations] == [2, 2]
    assert found.continuations[0].token_ids == (2,)
    assert not [path for path in (tmp_path / "evaluations").iterdir() if path.is_dir()]


async def test_nothing_held_out_is_an_empty_evaluation(tmp_path: Path) -> None:
    found = await evaluator(tmp_path, "raise SystemExit(9)").evaluate(
        None, [tmp_path / "absent.jsonl", held_out(tmp_path, [])], prompts=2
    )
    assert not found.rows
    assert not found.continuations


async def test_a_process_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="no such model") as caught:
        await evaluator(tmp_path, "raise SystemExit('no such model')").evaluate(
            None, [held_out(tmp_path, ROWS)], prompts=1
        )
    assert "\n" not in caught.value.detail
