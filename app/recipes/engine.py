"""What must happen before the first import of trl, peft or transformers."""

from __future__ import annotations

import importlib.util

import torch

from app.errors import InvalidInput
from app.recipes.arguments import TrainingArguments


def engine_of(arguments: TrainingArguments) -> str:
    """The engine to use; auto: unsloth where it is installed and a GPU is."""
    if arguments.engine != "auto":
        return arguments.engine
    return "unsloth" if torch.cuda.is_available() and importlib.util.find_spec("unsloth") else "trl"


def begin(arguments: TrainingArguments) -> None:
    """Set the threads and import unsloth where it is the engine: it patches trl as that is imported."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if engine_of(arguments) == "unsloth":
        if not importlib.util.find_spec("unsloth"):
            raise InvalidInput("unsloth is not installed here: scripts/setup_train.sh --engine unsloth")
        import unsloth  # noqa: F401
