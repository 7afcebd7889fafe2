"""Supervised fine-tuning of a LoRA: `python sft.py [config.json] [--name value ...]`, see --help.

Rows: {"prompt": [messages], "completion": [messages]}, or {"messages": [...]} whose last turn is the answer.
Only the answer is learned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.recipes.arguments import SftArguments
from app.recipes.launch import launch
from app.recipes.output import Workplace
from app.recipes.rows import read_answers, split
from app.recipes.weights import check_weights


def train(arguments: SftArguments, job_dir: Path) -> None:
    work = Workplace(arguments)
    check_weights(arguments)
    rows = read_answers(Path(arguments.dataset))
    held = read_answers(Path(arguments.eval_dataset)) if arguments.eval_dataset else []
    from app.recipes.engine import begin

    begin(arguments)
    from trl import SFTConfig, SFTTrainer

    from app.recipes.model import load
    from app.recipes.training import run

    loaded = load(arguments)
    parts = split(arguments, rows, held, loaded["processing_class"])

    def make(settings: dict[str, Any], callbacks: list[Any]) -> Any:
        return SFTTrainer(
            **loaded,
            args=SFTConfig(**settings, completion_only_loss=True, train_sampling_strategy="group_by_length"),
            train_dataset=parts.train,
            eval_dataset=parts.evaluation,
            callbacks=callbacks,
        )

    run(arguments, job_dir, "sft", parts, work, make)


if __name__ == "__main__":
    launch(SftArguments, train, __file__)
