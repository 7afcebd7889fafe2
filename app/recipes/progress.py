"""progress.jsonl: one line for each log step while a recipe trains, so that anybody can watch or resume."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

FILE = "progress.jsonl"


class Progress(TrainerCallback):
    """Writes `step` lines (loss: nats a token; seconds: of all attempts) and one `done` line.

    A resumed run keeps the lines up to its checkpoint; what was done after it is done, and said, again.
    """

    def __init__(self, directory: Path, resumed_step: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / FILE
        kept = [line for line in self._lines() if line["event"] == "step" and line["step"] <= resumed_step]
        self._path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._before = float(kept[-1]["seconds"]) if kept else 0.0
        self._started = time.monotonic()
        self._first_step = resumed_step

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._started

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self._started = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        figures = logs or {}
        if not figures.keys() & {"loss", "eval_loss"}:
            return
        here = time.monotonic() - self._started
        pace = here / max(1, state.global_step - self._first_step)
        self.write(
            event="step",
            step=state.global_step,
            steps=state.max_steps,
            epoch=round(state.epoch or 0.0, 4),
            **{name: figures[name] for name in ("loss", "eval_loss", "learning_rate") if name in figures},
            seconds=round(self.seconds, 2),
            eta_seconds=round(pace * (state.max_steps - state.global_step), 1),
        )

    def write(self, **line: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _lines(self) -> list[dict[str, Any]]:
        """What is there, without the line that a kill tore."""
        found = []
        for line in self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []:
            try:
                found.append(json.loads(line))
            except ValueError:
                break
        return found
