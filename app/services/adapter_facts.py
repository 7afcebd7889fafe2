"""What an adapter's own files say of it, read without torch, and why a server would not load it.

The rules are those of vLLM 0.32 (vllm/lora/peft_helper.py, vllm/lora/utils.py): what it would refuse only
once it is asked to load, or would serve wrongly, is refused here with the reason and a mend.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.errors import InvalidInput

CONFIG: Final = "adapter_config.json"
WEIGHTS: Final = "adapter_model.safetensors"

_LONGEST_CONFIG = 1 << 20
_LONGEST_HEADER = 100_000_000
"""Bytes; safetensors' own bound."""
_SAVED_WHOLE = {"classifier", "score"}
_PLAIN_STARTS = {"gaussian", "eva", "orthogonal", "mica", "lora_ga"}
"""Of `init_lora_weights`: they leave the base model as it is."""
_LORA = re.compile(r"\.(lora_[AB])\.weight$|\.(lora_embedding_[AB])$")
_BASE_EMBEDDING = (".embed_tokens.base_layer.weight", ".lm_head.base_layer.weight")
_QUANTIZED = re.compile(r"(-unsloth)?-bnb-4bit$")


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What the servers were started with."""

    base_model: str
    """A hub id, a directory or the name under which it is served."""
    max_rank: int = 16


@dataclass(frozen=True, slots=True)
class AdapterFacts:
    rank: int
    """The largest one, of `r`, `rank_pattern` and the tensors."""
    base_model: str
    modules: tuple[str, ...]
    """The last names of the layers it changes, such as q_proj."""
    parameters: int


def inspect(directory: Path, limits: ServerLimits) -> AdapterFacts:
    """Its facts; raises InvalidInput with every reason why the servers would not load it, and the mends."""
    config = _read_config(directory / CONFIG)
    tensors = _read_header(directory / WEIGHTS)
    facts = AdapterFacts(
        rank=max(_ranks(config, tensors)),
        base_model=str(config.get("base_model_name_or_path") or ""),
        modules=tuple(sorted({_module(name) for name in tensors if _LORA.search(name)})),
        parameters=sum(_size(tensor["shape"]) for tensor in tensors.values()),
    )
    reasons = [*_unserved_features(config), *_odd_tensors(tensors), *_misfits(facts, limits)]
    if reasons:
        raise InvalidInput("this adapter cannot be served: " + "; ".join(reasons))
    return facts


def _unserved_features(config: Mapping[str, Any]) -> Iterator[str]:
    if config.get("peft_type", "LORA") != "LORA":
        yield f"it is of the kind {config['peft_type']!r}: train with LoraConfig"
    if config.get("use_dora"):
        yield "it is DoRA: train with use_dora=False"
    if config.get("bias", "none") != "none" or config.get("lora_bias"):
        yield "it trains biases: train with bias='none' and lora_bias=False"
    if whole := sorted(set(config.get("modules_to_save") or ()) - _SAVED_WHOLE):
        yield f"modules_to_save holds {whole}: train without it"
    start = config.get("init_lora_weights", True)
    if isinstance(start, str) and start.lower() not in _PLAIN_STARTS:
        yield f"init_lora_weights={start!r} changes the base model: convert it with PEFT to a plain adapter"
    for option in ("alora_invocation_tokens", "layer_replication", "use_bdlora", "use_qalora"):
        if config.get(option):
            yield f"{option} is set: train without it"


def _odd_tensors(tensors: Mapping[str, Any]) -> Iterator[str]:
    odd = [name for name in tensors if not _LORA.search(name) and not name.endswith(_BASE_EMBEDDING)]
    odd = [name for name in odd if name.split(".")[-2:-1] not in ([part] for part in _SAVED_WHOLE)]
    if odd:
        yield f"{WEIGHTS} holds {len(odd)} tensors that are not LoRA's, such as {odd[0][:120]!r}"
    if not any(_LORA.search(name) for name in tensors):
        yield f"{WEIGHTS} holds no LoRA weights"


def _misfits(facts: AdapterFacts, limits: ServerLimits) -> Iterator[str]:
    if facts.rank > limits.max_rank:
        yield (
            f"its rank is {facts.rank} and vLLM was started with {limits.max_rank}: start it with"
            " --max-lora-rank and set VLLM_MAX_LORA_RANK, or train with a smaller rank"
        )
    if not same_base(facts.base_model, limits.base_model):
        yield (
            f"it was trained on {facts.base_model!r} and vLLM serves {limits.base_model!r}: train on that,"
            " or set VLLM_MODEL_NAME"
        )


def same_base(one: str, other: str) -> bool:
    """Whether two names mean one base model: directories, hub ids and 4-bit copies of it do."""
    return _plain_name(one) == _plain_name(other)


def _plain_name(model: str) -> str:
    """Its last name, that of the 16-bit model: a directory, a hub id and a 4-bit copy are one model."""
    return _QUANTIZED.sub("", model.rstrip("/").rpartition("/")[2].casefold())


def _ranks(config: Mapping[str, Any], tensors: Mapping[str, Any]) -> list[int]:
    pattern = config.get("rank_pattern") or {}
    told = [config.get("r"), *(pattern.values() if isinstance(pattern, dict) else [None])]
    if not all(type(rank) is int and rank > 0 for rank in told):
        raise InvalidInput(f"{CONFIG}: r and rank_pattern must be positive whole numbers")
    return [*told, *(tensor["shape"][0] for name, tensor in tensors.items() if "lora_A" in name)]


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LONGEST_CONFIG:
            raise InvalidInput(f"{CONFIG} is too long")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{CONFIG} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{CONFIG} is not JSON") from error
    if not isinstance(config, dict):
        raise InvalidInput(f"{CONFIG} is not a JSON object")
    return config


def _read_header(path: Path) -> dict[str, Any]:
    """Of safetensors: eight bytes of length, JSON of that length, then the numbers to the file's end."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(_LONGEST_HEADER, size - 8):
                raise ValueError("the header is longer than the file")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        _check_tensors(header, size - 8 - length)
    except OSError as error:
        raise InvalidInput(f"{WEIGHTS} cannot be read: {error.strerror}") from error
    except (ValueError, struct.error, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(f"{WEIGHTS} is broken or not safetensors: {error}") from error
    return dict(header)


def _check_tensors(header: Mapping[str, Any], room: int) -> None:
    """Raises ValueError, KeyError or TypeError: the tensors fill the rest of the file, without a gap."""
    ends = sorted((int(start), int(end)) for start, end in (one["data_offsets"] for one in header.values()))
    if [start for start, _ in ends] != [0, *(end for _, end in ends)][: len(ends)]:
        raise ValueError("tensors overlap or leave a gap")
    if (ends[-1][1] if ends else 0) != room:
        raise ValueError("it was cut off, or something follows its tensors")
    for tensor in header.values():
        if not tensor["shape"] or not all(type(size) is int and size > 0 for size in tensor["shape"]):
            raise ValueError("a tensor without a shape")


def _module(name: str) -> str:
    return name[: _LORA.search(name).start()].rpartition(".")[2]  # type: ignore[union-attr]


def _size(shape: list[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
