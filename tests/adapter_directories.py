"""Adapter directories for tests: real files in the formats of PEFT and safetensors, with few numbers."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LAYER = "base_model.model.model.layers.0.self_attn.q_proj"
CONFIG: Mapping[str, Any] = {
    "peft_type": "LORA",
    "base_model_name_or_path": "HuggingFaceTB/small",
    "r": 8,
    "lora_alpha": 16,
    "target_modules": ["q_proj"],
    "bias": "none",
    "use_dora": False,
    "modules_to_save": None,
    "init_lora_weights": True,
}


def write_adapter(
    directory: Path,
    *,
    tensors: Mapping[str, list[int]] | None = None,
    seed: int = 0,
    **config: Any,
) -> Path:
    """`tensors` are shapes by name, in float32; `seed` makes the numbers."""
    directory.mkdir(parents=True)
    (directory / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
    rank = config.get("r", CONFIG["r"])
    shapes = tensors or {f"{LAYER}.lora_A.weight": [rank, 4], f"{LAYER}.lora_B.weight": [4, rank]}
    (directory / "adapter_model.safetensors").write_bytes(safetensors(shapes, seed))
    return directory


def safetensors(shapes: Mapping[str, list[int]], seed: int = 0) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, shape in shapes.items():
        count = 1
        for size in shape:
            count *= size
        start = len(body)
        body += struct.pack(f"<{count}f", *[float(seed + index) for index in range(count)])
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(body)]}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body
