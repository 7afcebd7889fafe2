"""Directories of weights, looked at before anything heavy is loaded. Standard library only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.errors import InvalidInput
from app.recipes.arguments import RANKS, TrainingArguments


def check_weights(arguments: TrainingArguments) -> None:
    """Raises InvalidInput: no such model directory or adapter. A hub id is only known once it is loaded."""
    base_of(arguments.model_name)
    if arguments.adapter is not None:
        adapter_directory(arguments.adapter)


def base_of(model_name: str) -> str:
    """The directory made absolute, or the hub id. Raises InvalidInput: not there, or an adapter."""
    path = Path(model_name)
    if not path.exists():
        if model_name.startswith(("/", ".", "~", "local-models/")):
            raise InvalidInput(f"there is no model directory {model_name}")
        return model_name
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        raise InvalidInput(f"{model_name} is a LoRA adapter: give its base as model_name, it as adapter")
    if not (path / "config.json").is_file():
        raise InvalidInput(f"{model_name} has no config.json: it is not a model directory")
    return str(path.resolve())


def adapter_directory(name: str) -> Path:
    """A LoRA that vLLM serves. Raises InvalidInput. Only safetensors are read: a pickle can run code."""
    path = Path(name)
    if not (path / "adapter_model.safetensors").is_file():
        raise InvalidInput(f"the adapter {name} has no adapter_model.safetensors")
    try:
        config: dict[str, Any] = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))
        kind, rank, dora = config["peft_type"], config["r"], config.get("use_dora")
    except (OSError, ValueError, LookupError, TypeError) as fault:
        raise InvalidInput(f"the adapter {name} has no adapter_config.json of a LoRA: {fault}") from fault
    if kind != "LORA" or rank not in RANKS or dora:
        raise InvalidInput(f"the adapter {name} is no plain LoRA of a rank that vLLM serves")
    return path
