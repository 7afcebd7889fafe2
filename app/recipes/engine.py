"""What must happen before the first import of trl, peft or transformers."""

from __future__ import annotations

import ctypes
import importlib.util
import sys

import torch

from app.errors import InvalidInput
from app.recipes.arguments import TrainingArguments

_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


def engine_of(arguments: TrainingArguments) -> str:
    """The engine to use; auto: unsloth where it is installed and a GPU is."""
    if arguments.engine != "auto":
        return arguments.engine
    return "unsloth" if torch.cuda.is_available() and importlib.util.find_spec("unsloth") else "trl"


def in_bfloat16(arguments: TrainingArguments) -> bool:
    """Whether to: on a CPU with bfloat16 instructions it is nearly twice as fast, without them far slower."""
    if arguments.dtype != "auto":
        return arguments.dtype == "bfloat16"
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    abilities = torch.cpu.get_capabilities()
    return engine_of(arguments) == "trl" and any(map(abilities.get, _BFLOAT16))


def begin(arguments: TrainingArguments) -> None:
    """Set the threads and import unsloth where it is the engine: it patches trl as that is imported."""
    if not torch.cuda.is_available() and sys.platform == "linux":
        _keep_memory()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if engine_of(arguments) == "unsloth":
        if not importlib.util.find_spec("unsloth"):
            raise InvalidInput("unsloth is not installed here: scripts/setup_train.sh --engine unsloth")
        import unsloth  # noqa: F401


def _keep_memory() -> None:
    """Let malloc reuse large blocks: given back to the kernel after each step, they cost 13 % of the time."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
