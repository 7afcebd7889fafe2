"""A recipe that trains nothing: `fake_recipe.py SCRIPT`, configured by the JSON file beside SCRIPT.

It stands in for TRAINING_PYTHON (see `interpreter`), so that the service starts a real process with the
script that it rendered. What the process does is the last word of `model_name`: see BEHAVIOURS.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def interpreter(directory: Path) -> Path:
    """An executable that runs this file in place of whatever Python is told to run."""
    path = directory / "fake-python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" "$@"\n')
    path.chmod(0o755)
    return path


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Run:
    """One attempt: steps of progress, a checkpoint after each, an output at the end."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.directory = Path(config["job_dir"])
        self.output = Path(config["output"])
        self.checkpoint = self.directory / "checkpoint"
        resumable = config["resume"] and self.checkpoint.exists()
        self.done = int(self.checkpoint.read_text()) if resumable else 0
        say(f"attempt from step {self.done}")

    def step(self) -> None:
        self.done += 1
        self.checkpoint.write_text(str(self.done))
        self.tell(event="step", step=self.done, steps=3, epoch=self.done / 3, loss=1 / self.done)

    def finish(self, output: Path | None = None) -> None:
        while self.done < 3:
            self.step()
        place = output or self.output
        place.mkdir(parents=True)
        (place / "adapter_config.json").write_text("{}")
        self.tell(event="done", output=str(place), adapter=str(place))

    def tell(self, **line: Any) -> None:
        with (self.directory / "progress.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def hang(run: Run) -> None:
    """Until it is told to end; once resumed, it finishes."""
    if run.done:
        run.finish()
        return
    run.step()
    while True:
        time.sleep(60)


def hang_on(run: Run) -> None:
    """The same, deaf to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(run)


def crash(run: Run) -> None:
    run.step()
    raise RuntimeError("the loss is\nnot a number")


def fill_disk(run: Run) -> None:
    raise OSError(28, "No space left on device")


def starve(run: Run) -> None:
    run.step()
    os.kill(os.getpid(), signal.SIGKILL)


def end_early(run: Run) -> None:
    run.step()


def stray(run: Run) -> None:
    """Writes elsewhere than it was told to."""
    run.finish(run.directory / "elsewhere")


def tell_environment(run: Run) -> None:
    say(json.dumps(dict(os.environ)))
    run.finish()


BEHAVIOURS: dict[str, Callable[[Run], None]] = {
    "finish": Run.finish,
    "hang": hang,
    "hang_on": hang_on,
    "crash": crash,
    "fill_disk": fill_disk,
    "starve": starve,
    "end_early": end_early,
    "stray": stray,
    "tell_environment": tell_environment,
}


def main() -> None:
    config = json.loads(Path(sys.argv[1]).with_suffix(".json").read_text())
    BEHAVIOURS[config["model_name"].rpartition("/")[2]](Run(config))


if __name__ == "__main__":
    main()
