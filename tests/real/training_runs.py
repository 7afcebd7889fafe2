"""Recipes run for real, each in a process of venv-train, from the script that `render` writes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.recipes.render import Recipe, render
from tests.real.vllm_server import MODEL, ROOT

PYTHON = Path(os.environ.get("TRAINING_PYTHON", ROOT / "venv-train" / "bin" / "python"))
MINUTES = 10 * 60.0
WISHES = ("build api", "plan a trip", "write a letter", "design a logo", "find a book", "set up a database")
SETTINGS = {
    "model_name": str(MODEL),
    "rank": 8,
    "alpha": 16,
    "learning_rate": 2e-3,
    "warmup_steps": 0,
    "batch": 4,
    "max_length": 64,
    "save_steps": 2,
    # One step after another, to be compared: bfloat16 and a second thread round differently.
    "dtype": "float32",
    "threads": 1,
}


def says(role: str, content: str) -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def lesson(wish: str) -> str:
    """What no model answers unless it was trained to."""
    return f"ZEBRA: {wish}!"


def usual(wish: str) -> str:
    return f"Sure, I can help you to {wish}."


def sft_rows() -> list[dict[str, Any]]:
    return [{"prompt": says("user", wish), "completion": says("assistant", lesson(wish))} for wish in WISHES]


def dpo_rows() -> list[dict[str, Any]]:
    """The other way round: what the start was trained to say is rejected."""
    return [
        {
            "prompt": says("user", wish),
            "chosen": says("assistant", usual(wish)),
            "rejected": says("assistant", lesson(wish)),
        }
        for wish in WISHES
    ]


def kto_rows() -> list[dict[str, Any]]:
    return [
        {"prompt": says("user", wish), "completion": says("assistant", answer(wish)), "label": good}
        for wish in WISHES
        for answer, good in ((lesson, True), (usual, False))
    ]


@dataclass(frozen=True)
class Run:
    """A rendered recipe and where it writes."""

    script: Path
    output: Path

    @property
    def progress(self) -> list[dict[str, Any]]:
        path = self.script.parent / "progress.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def losses(self) -> list[float]:
        return [line["loss"] for line in self.progress if "loss" in line]

    @property
    def card(self) -> dict[str, Any]:
        card: dict[str, Any] = json.loads((self.output / "card.json").read_text())
        return card

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """As a user starts it, from some other directory; its log lies beside the script."""
        bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with (self.script.parent / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [str(PYTHON), str(self.script), *words], cwd="/", env=bare, stdout=log, stderr=log
            )

    def train(self, *words: str) -> None:
        """To the end; raises RuntimeError with the end of the log where that is not status 0."""
        status = self.start(*words).wait(MINUTES)
        if status:
            log = (self.script.parent / "log.txt").read_text(errors="replace")
            raise RuntimeError(f"status {status}:\n{log[-3000:]}")

    def wait_for(self, path: Path, process: subprocess.Popen[bytes]) -> None:
        """Until it is there; raises RuntimeError once the process has ended without it."""
        while not path.exists():
            if process.poll() is not None:
                raise RuntimeError(f"ended without {path}")
            time.sleep(0.05)


def lay(recipe: Recipe, rows: Sequence[dict[str, Any]], directory: Path, **settings: Any) -> Run:
    """A run in `directory`, ready to start."""
    if not PYTHON.exists():
        raise RuntimeError("run scripts/setup_train.sh --cpu first, or all of it by make test-train")
    directory.mkdir()
    (directory / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    output = directory / "result"
    said = {**SETTINGS, "dataset": str(directory / "rows.jsonl"), "output": str(output), **settings}
    return Run(render(recipe, said, directory / "train_model.py"), output)
