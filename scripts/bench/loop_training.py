"""The trainer's own script, run in the environment of training, and the adapter on the shelf."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.services.adapter_facts import ServerLimits
from app.services.adapter_files import AdapterFiles
from app.services.training import ModelTrainer, TrainingDataCollector


@dataclass(frozen=True, slots=True)
class Schedule:
    """The recipe's arguments; see app/recipes/arguments.py."""

    epochs: float = 1.0
    max_steps: int = 0
    rank: int = 32
    alpha: int = 64
    learning_rate: float = 6e-4
    warmup_steps: int = 10
    batch: int = 1
    accumulation: int = 4
    """Rows pass one by one: nothing is padded, and memory stays small."""
    max_length: int = 1400


@dataclass(frozen=True, slots=True)
class Trained:
    name: str
    path: Path
    card: dict[str, Any]


def train(dataset: Path, model: Path, schedule: Schedule, folder: Path, python: Path) -> Path:
    """Run the script of the recipe in `folder` until its output is there; it goes on where it was cut off."""
    output = folder / "output"
    if output.exists():
        return output
    script = folder / "train_model.py"
    if not script.exists():
        trainer = ModelTrainer(TrainingDataCollector(folder))
        script = trainer.generate_training_script(dataset, str(model), output, **asdict(schedule))
    with (folder / "train.log").open("ab") as log:
        environment = os.environ | {"HF_HUB_OFFLINE": "1"}
        subprocess.run([python, script, "--resume"], check=True, stdout=log, stderr=log, env=environment)
    return output


def publish(output: Path, shelf: Path, model: Path, rank: int) -> Trained:
    """The adapter under the name of its content, where vLLM reads it."""
    files = AdapterFiles(shelf, [output.parent], ServerLimits(model.name, max_rank=rank))
    published = files.publish(output, "hypotheses")
    card = json.loads((output / "card.json").read_text(encoding="utf-8"))
    return Trained(published.name, published.path, card)
