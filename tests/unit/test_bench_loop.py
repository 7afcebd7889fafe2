"""The parts of `make bench-loop` that need neither a trainer nor a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from app.clients.slm.base import GenerateHypotheses
from app.clients.slm.prompts import render
from scripts.bench.loop_records import first_question, make_dataset, read_tasks
from scripts.bench.loop_scoring import CommandScorer, Figure
from scripts.bench.servers import ROOT

IN3 = ROOT / "data" / "playbook" / "in3.jsonl"
SCORER = """
import json, sys
said = dict(zip(sys.argv[1::2], sys.argv[2::2]))
tasks = json.load(open(said["--data"]))
answer = {"hypotheses": [{"producer": "vllm"}, {"producer": "local"}], "backend": {"degraded": False}}
found = {"metric": "found", "value": 50.0, "low": 40.0, "high": 60.0, "n": len(tasks)}
report = [found, {"metric": "other", "value": 1}]
rows = [{"answer": answer} for _ in tasks]
json.dump({"report": report, "rows": rows}, open(said["--out"], "w"))
"""


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("What is your budget?", "What is your budget?"),
        ("Who reads it? Is it for experts?", "Who reads it?"),
        (f"Which {'very ' * 15}long lists do you like, such as these or those?", None),
    ],
)
def test_a_question_is_kept_to_its_first(asked: str, kept: str | None) -> None:
    assert first_question(asked) == (kept or asked.partition(", such as")[0] + "?")


async def test_records_become_rows_as_they_are_served(tmp_path: Path) -> None:
    tasks = [task for task in read_tasks(IN3) if task.vague and len(task.details) > 2][:12]
    path = await make_dataset(tasks, IN3, tmp_path, eval_share=0.0)
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    by_request = {json.loads(row["prompt"][-1]["content"])["request"]: row for row in rows}
    assert by_request.keys() == {task.text for task in tasks}
    for task in tasks:
        prompt = by_request[task.text]["prompt"]
        answer = json.loads(by_request[task.text]["completion"][0]["content"])
        assert [one["detail"] for one in answer["hypotheses"]] == [d.description for d in task.details[:3]]
        assert all(task.text not in message["content"] for message in prompt[:-1])
        if not task.with_examples:
            assert prompt == [dict(one) for one in render(GenerateHypotheses(task.text)).messages]
    assert any(len(by_request[task.text]["prompt"]) > 2 for task in tasks if task.with_examples)


def test_a_scorer_from_outside_is_asked_and_read(tmp_path: Path) -> None:
    script, data = tmp_path / "score.py", tmp_path / "data.json"
    script.write_text(SCORER, encoding="utf-8")
    data.write_text(json.dumps([{"task": "a"}, {"task": "b"}, {"task": "c"}]), encoding="utf-8")
    scorer = CommandScorer(f"{sys.executable} {script}", data, at_once=2)
    score = scorer.first(2)("http://127.0.0.1:9", tmp_path / "answers.json")
    assert score.figures == [Figure("found", 50.0, 40.0, 60.0, 2)]
    assert score.producers == {"vllm": 2, "local": 2}
    assert score.degraded == 0
