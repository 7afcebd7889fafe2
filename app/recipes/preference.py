"""Preference learning of a LoRA: `python preference.py [config.json] [--method dpo|kto] [...]`, see --help.

Rows: {"prompt", "chosen", "rejected"} for DPO, {"prompt", "completion", "label"} for KTO; each text is a
list of messages. The reference is the base model, or with `adapter` the model with the adapter as it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.errors import InvalidInput
from app.recipes.arguments import PreferenceArguments
from app.recipes.launch import launch
from app.recipes.output import Workplace
from app.recipes.rows import read_rows, split
from app.recipes.weights import check_weights

COLUMNS = {"dpo": ("prompt", "chosen", "rejected"), "kto": ("prompt", "completion", "label")}


def train(arguments: PreferenceArguments, job_dir: Path) -> None:
    if arguments.method == "kto" and arguments.batch < 2:
        raise InvalidInput("KTO compares the rows of a batch with each other: batch must be 2 or more")
    work = Workplace(arguments)
    check_weights(arguments)
    columns = COLUMNS[arguments.method]
    rows = read_rows(Path(arguments.dataset), columns)
    held = read_rows(Path(arguments.eval_dataset), columns) if arguments.eval_dataset else []
    from app.recipes.engine import begin

    begin(arguments)
    from app.recipes.model import load
    from app.recipes.training import run

    loaded = load(arguments)
    parts = split(arguments, rows, held, loaded["processing_class"])
    loaded |= {"train_dataset": parts.train, "eval_dataset": parts.evaluation}

    def make(settings: dict[str, Any], callbacks: list[Any]) -> Any:
        return _trainer(arguments, settings, callbacks=callbacks, **loaded)

    run(arguments, job_dir, f"preference/{arguments.method}", parts, work, make)


def _trainer(arguments: PreferenceArguments, settings: dict[str, Any], **parts: Any) -> Any:
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer

    if arguments.method == "dpo":
        return DPOTrainer(args=DPOConfig(**settings, beta=arguments.beta), **parts)
    weights = {name: getattr(arguments, name) for name in ("desirable_weight", "undesirable_weight")}
    return KTOTrainer(args=KTOConfig(**settings, beta=arguments.beta, **weights), **parts)


if __name__ == "__main__":
    launch(PreferenceArguments, train, __file__)
