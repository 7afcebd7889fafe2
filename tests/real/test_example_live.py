"""scripts/example_vllm_usage.py on a real vLLM."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.example_process import example
from tests.real.vllm_server import VLLMServer

pytestmark = pytest.mark.vllm


async def test_the_example_goes_through_every_step(vllm_server: VLLMServer, tmp_path: Path) -> None:
    adapter = vllm_server.adapter("questions")
    status, out, err = await example(
        *("--base-url", vllm_server.base_url, "--model", vllm_server.model),
        *("--lora", adapter, "--directory", str(tmp_path)),
        seconds=300.0,
    )
    assert (status, err) == (0, ""), out
    _, picked = map(json.loads, (tmp_path / "hypotheses_data.jsonl").read_text().splitlines())
    assert picked["adapter"] == adapter
    # Two were asked for; a model this small may say one thing twice, which is shown once.
    assert len(json.loads(picked["shown"])) in (1, 2)
