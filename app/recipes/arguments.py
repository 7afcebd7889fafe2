"""What a recipe can be told, once: names, defaults, bounds and help. Standard library only.

The service checks a configuration with it before a script is written, the script checks it again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from app.errors import InvalidInput

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The ranks that vLLM's --max-lora-rank knows."""

A = TypeVar("A")


def argument(
    help_text: str,
    default: Any = MISSING,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    choices: tuple[Any, ...] = (),
) -> Any:
    """A field with its help; the bounds hold for numbers and belong to the range."""
    limits = {"help": help_text, "least": least, "most": most, "choices": choices}
    return field(metadata=limits) if default is MISSING else field(default=default, metadata=limits)


@dataclass(frozen=True, kw_only=True)
class TrainingArguments:
    """What every training recipe takes."""

    dataset: str = argument("JSONL file to learn from")
    model_name: str = argument("directory or hub id of the base model")
    output: str = argument("directory to write; refused unless it is absent or empty")
    eval_dataset: str | None = argument("JSONL file for the evaluation loss", None)
    eval_split: float = argument(
        "share (0..0.5) of dataset to evaluate on where eval_dataset is absent; not split by user",
        0.0,
        least=0,
        most=0.5,
    )
    eval_steps: int = argument("steps between evaluations; 0: only at the end", 0, least=0)
    job_dir: str | None = argument("directory of progress.jsonl; absent: where the configuration lies", None)
    manifest_id: str | None = argument("id of the dataset's manifest, for the card", None)
    base_name: str | None = argument("base model as the server's --model says it; absent: model_name", None)
    adapter: str | None = argument("LoRA adapter to go on from; rank and alpha are then its own", None)
    engine: str = argument(
        "auto: unsloth where a GPU and unsloth are", "auto", choices=("auto", "unsloth", "trl")
    )
    save: str = argument("adapter, or merged: a full 16-bit model", "adapter", choices=("adapter", "merged"))
    dtype: str = argument(
        "of the base's weights and of sums; auto: bfloat16 where the machine has instructions for it",
        "auto",
        choices=("auto", "bfloat16", "float32"),
    )
    rank: int = argument("LoRA rank", 16, choices=RANKS)
    alpha: int = argument("LoRA alpha; the update is scaled by alpha / rank", 32, least=1)
    learning_rate: float = argument("peak learning rate", 2e-4, least=0, most=1)
    warmup_steps: int = argument("steps of linear warm-up, before a cosine decay to 0", 5, least=0)
    epochs: float = argument("passes over the dataset", 1.0, least=0)
    max_steps: int = argument("optimizer steps, whatever epochs says; 0: as epochs says", 0, least=0)
    batch: int = argument("rows in one forward pass", 4, least=1)
    accumulation: int = argument("forward passes in one optimizer step", 1, least=1)
    max_length: int = argument("tokens of prompt and answer; longer rows are left out", 2048, least=16)
    save_steps: int = argument("steps between checkpoints; 0: none", 50, least=0)
    log_steps: int = argument("steps between lines of progress.jsonl", 1, least=1)
    seed: int = argument("of everything drawn at random", 7, least=0, most=2**31 - 1)
    resume: bool = argument(
        "go on from the newest complete checkpoint of the same run, if there is one", False
    )
    threads: int = argument("CPU threads; 0: as many as torch takes", 0, least=0)


@dataclass(frozen=True, kw_only=True)
class SftArguments(TrainingArguments):
    """Supervised fine-tuning on `prompt` and `completion`, or on the last answer of `messages`."""


@dataclass(frozen=True, kw_only=True)
class PreferenceArguments(TrainingArguments):
    """DPO on `prompt`, `chosen`, `rejected`; KTO on `prompt`, `completion`, `label`."""

    method: str = argument("dpo (Rafailov 2023) or kto (Ethayarajh 2024)", "dpo", choices=("dpo", "kto"))
    beta: float = argument("how hard the model is held to its start, above 0", 0.1, least=1e-6)
    learning_rate: float = argument("peak learning rate", 2e-5, least=0, most=1)
    desirable_weight: float = argument("KTO: weight of rows with label true", 1.0, least=0)
    undesirable_weight: float = argument("KTO: weight of rows with label false", 1.0, least=0)


@dataclass(frozen=True, kw_only=True)
class EvaluateArguments:
    """What a model makes of held-out rows, without a judgement: see evaluate.py for the lines it writes."""

    datasets: tuple[str, ...] = argument("JSONL files of rows as the training recipes take them")
    model_name: str = argument("directory or hub id of the base model")
    output: str = argument("JSONL file to write; refused if it is there")
    adapters: tuple[str | None, ...] = argument(
        "LoRA adapters to put on, in turn; null: the base alone", (None,)
    )
    prompts: int = argument("go on after the first so many prompts, greedily", 16, least=0)
    max_tokens: int = argument("tokens of such an answer", 640, least=1)
    max_rows: int = argument("rows of each file; 0: all", 0, least=0)
    dtype: str = argument("of weights and sums", "float32", choices=("float32", "bfloat16"))
    threads: int = argument("CPU threads; 0: as many as torch takes", 0, least=0)


def parse(kind: type[A], config: Mapping[str, Any]) -> A:
    """The arguments in `config`. Raises InvalidInput: an unknown or missing key, a wrong type or value."""
    known = {one.name: one for one in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(map(str, config.keys() - known.keys())):
        raise InvalidInput(f"unknown {', '.join(unknown)}; known: {', '.join(sorted(known))}")
    needed = [name for name, one in known.items() if one.default is MISSING and name not in config]
    if needed:
        raise InvalidInput(f"missing: {', '.join(needed)}")
    hints = get_type_hints(kind)
    return kind(**{name: _checked(known[name], hints[name], value) for name, value in config.items()})


def _checked(one: Field[Any], hint: Any, value: Any) -> Any:
    if get_origin(hint) is tuple:
        if not isinstance(value, (list, tuple)) or not value:
            raise InvalidInput(f"{one.name} must be a list that is not empty, not {value!r}")
        return tuple(_checked(one, get_args(hint)[0], entry) for entry in value)
    allowed = get_args(hint) or (hint,)
    if value is None and NoneType in allowed:
        return None
    if type(value) is int and float in allowed:
        value = float(value)
    if type(value) not in allowed:
        names = " or ".join("null" if kind is NoneType else kind.__name__ for kind in allowed)
        raise InvalidInput(f"{one.name} must be {names}, not {value!r}")
    _check_limits(one, value)
    return value


def _check_limits(one: Field[Any], value: Any) -> None:
    limits = one.metadata
    if limits["choices"] and value not in limits["choices"]:
        raise InvalidInput(
            f"{one.name} must be one of {', '.join(map(str, limits['choices']))}, not {value!r}"
        )
    if isinstance(value, str) and (not value.strip() or "\0" in value):
        raise InvalidInput(f"{one.name} must not be empty, nor hold a NUL character")
    if isinstance(value, (int, float)) and not limits["least"] <= value <= limits["most"]:
        raise InvalidInput(f"{one.name} must be {limits['least']} to {limits['most']}, not {value!r}")
