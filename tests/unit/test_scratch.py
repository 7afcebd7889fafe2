"""What killed examinations and half-made datasets leave on the disk, and who removes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from app.services.training import ModelTrainer, TrainingDataCollector
from app.services.training.processes import MARK, birth
from app.services.training.scratch import Scratch

KILLED = """
import os, sys
from pathlib import Path
from app.services.training.scratch import Scratch
with Scratch(Path(sys.argv[1])).place("evaluation") as place:
    (place / "answers.jsonl").write_text("what ada asked")
    os._exit(9)
"""


def left_by_a_killed_one(directory: Path) -> Path:
    subprocess.run([sys.executable, "-c", KILLED, str(directory)], check=False)
    (place,) = [path for path in directory.iterdir() if path.is_dir()]
    return place


def drafts(directory: Path) -> list[str]:
    return sorted(
        path.name for path in directory.rglob("*") if path.name.startswith((".draft", "evaluation-"))
    )


def test_a_place_is_there_for_as_long_as_the_work(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "evaluations")
    assert scratch.sweep() == 0
    with scratch.place("evaluation") as place:
        (place / "answers.jsonl").write_text("x")
        assert Scratch(tmp_path / "evaluations").sweep() == 0
        assert (place / "answers.jsonl").exists()
    assert not place.exists()


def test_what_a_killed_one_left_is_removed_and_its_process_ended_first(tmp_path: Path) -> None:
    place = left_by_a_killed_one(tmp_path)
    orphan = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    (place / MARK).write_text(json.dumps({"pid": orphan.pid, "birth": birth(orphan.pid)}))
    assert Scratch(tmp_path).sweep() == 1
    assert not place.exists()
    orphan.communicate()
    assert orphan.returncode < 0


async def test_an_erasure_and_a_start_leave_no_rows_that_nobody_looks_at(tmp_path: Path) -> None:
    trainer = ModelTrainer(TrainingDataCollector(tmp_path))
    for sweep in (trainer.sweep, lambda: trainer.erase("default", "ada")):
        left_by_a_killed_one(tmp_path / "evaluations")
        (tmp_path / "datasets" / ".draft-x").mkdir(parents=True)
        assert len(drafts(tmp_path)) == 2
        await sweep()
        assert drafts(tmp_path) == []
