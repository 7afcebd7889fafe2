"""One training run from its rows to its output, whatever the trainer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from app.recipes import card as cards
from app.recipes.arguments import TrainingArguments
from app.recipes.engine import engine_of, in_bfloat16
from app.recipes.model import save_adapter, save_merged
from app.recipes.output import Workplace
from app.recipes.progress import Progress
from app.recipes.rows import Split
from app.recipes.weights import base_of

MakeTrainer = Callable[[dict[str, Any], list[Any]], Any]
"""From the settings that every trl config takes and the callbacks to the trainer."""


def settings(arguments: TrainingArguments, work: Workplace, rows: Split) -> dict[str, Any]:
    """What every trl config takes, for this machine."""
    gpu = torch.cuda.is_available()
    evaluates = bool(arguments.eval_steps) and rows.evaluation is not None
    return {
        "output_dir": str(work.partial),
        "learning_rate": arguments.learning_rate,
        "lr_scheduler_type": "cosine",
        "warmup_steps": arguments.warmup_steps,
        "num_train_epochs": arguments.epochs,
        "max_steps": arguments.max_steps or -1,
        "per_device_train_batch_size": arguments.batch,
        "per_device_eval_batch_size": arguments.batch,
        "gradient_accumulation_steps": arguments.accumulation,
        "max_length": arguments.max_length,
        "seed": arguments.seed,
        "logging_steps": arguments.log_steps,
        "eval_strategy": "steps" if evaluates else "no",
        "eval_steps": arguments.eval_steps or None,
        "save_strategy": "steps" if arguments.save_steps else "no",
        "save_steps": arguments.save_steps or 1,
        "save_total_limit": 2,
        "use_cpu": not gpu,
        "bf16": in_bfloat16(arguments),
        "gradient_checkpointing": gpu,
        "disable_tqdm": not sys.stderr.isatty(),
        "report_to": "none",
        "dataloader_pin_memory": gpu,
    }


def run(
    arguments: TrainingArguments, job_dir: Path, recipe: str, rows: Split, work: Workplace, make: MakeTrainer
) -> None:
    """Train, evaluate, and write adapter or model, curve and card; the output appears at the very end."""
    work.open(arguments)
    checkpoint = work.checkpoint
    step = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
    progress = Progress(Path(arguments.job_dir) if arguments.job_dir else job_dir, step)
    trainer = make(settings(arguments, work, rows), [progress])
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if rows.evaluation is not None:
        trainer.evaluate()
    base = base_of(arguments.model_name)
    adapter = work.partial if arguments.save == "adapter" else work.partial / "adapter"
    save_adapter(trainer.model, adapter, arguments.base_name or base)
    if arguments.save == "merged":
        save_merged(base, adapter, work.partial)
    history = trainer.state.log_history
    cards.draw_loss(work.partial / "loss.png", history)
    lineage = describe(arguments, recipe, rows, trainer.state, progress.seconds, step)
    cards.write_card(work.partial, lineage)
    work.finish()
    progress.write(
        event="done", output=str(work.output), adapter=str(work.output / adapter.relative_to(work.partial))
    )


def describe(
    arguments: TrainingArguments, recipe: str, rows: Split, state: Any, seconds: float, resumed_step: int
) -> Mapping[str, Any]:
    losses = [line["loss"] for line in state.log_history if "loss" in line]
    evaluated = [line["eval_loss"] for line in state.log_history if "eval_loss" in line]
    return {
        "recipe": recipe,
        "engine": engine_of(arguments),
        "base_model": arguments.base_name or base_of(arguments.model_name),
        "dataset": str(Path(arguments.dataset).absolute()),
        "dataset_sha256": rows.digest,
        "manifest_id": arguments.manifest_id,
        "rows": len(rows.train),
        "rows_distinct": rows.distinct,
        "rows_evaluated": len(rows.evaluation) if rows.evaluation is not None else 0,
        "rows_too_long": rows.too_long,
        "steps": state.global_step,
        "epochs": round(state.epoch or 0.0, 3),
        "resumed_from_step": resumed_step or None,
        "minutes": round(seconds / 60, 2),
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "eval_loss": evaluated[-1] if evaluated else None,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "settings": asdict(arguments),
        "versions": cards.versions(),
    }
