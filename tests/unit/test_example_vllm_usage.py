"""scripts/example_vllm_usage.py, run as a reader of the guide runs it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.example_process import example
from tests.fake_vllm import BASE, FakeVLLM
from tests.servers import serving


async def test_every_step_is_shown_for_base_and_adapter(tmp_path: Path) -> None:
    fake = FakeVLLM(adapters={"small-adapter": "/adapters/small"})
    async with serving(fake) as url:
        status, out, err = await example(
            "--base-url",
            f"{url}/v1",
            "--model",
            BASE,
            "--lora",
            "small-adapter",
            "--directory",
            str(tmp_path),
        )
    assert (status, err) == (0, "")
    assert f"asks {BASE}?" in out and "asks small-adapter?" in out
    headings = [line.split()[0] for line in out.splitlines() if line.endswith(":")]
    assert headings == ["Hypotheses", "Hypotheses", "Enrichment:", "Follow-up", "Summary:", "The"]
    shown, picked = map(json.loads, (tmp_path / "hypotheses_data.jsonl").read_text().splitlines())
    assert (shown["event"], picked["event"]) == ("shown", "picked")
    assert picked["adapter"] == "small-adapter" and picked["for_training"]
    assert json.loads(out.splitlines()[-1]) == picked


async def test_without_an_adapter_the_base_alone_is_asked() -> None:
    fake = FakeVLLM()
    async with serving(fake) as url:
        status, out, _ = await example("--base-url", f"{url}/v1", "--model", BASE)
    assert status == 0
    assert {body["model"] for body in fake.asked("/chat/completions")} == {BASE}
    assert json.loads(out.splitlines()[-1])["adapter"] == ""


async def test_with_nothing_behind_it_one_line_says_what_to_start() -> None:
    status, out, err = await example("--base-url", "http://127.0.0.1:9/v1")
    assert (status, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert "scripts/setup_vllm.sh --cpu --small-model" in err
    assert "scripts/start_vllm.sh local-models/smollm2-135m-instruct --port 9" in err


async def test_a_server_without_the_model_or_the_adapter_is_told_in_one_line() -> None:
    async with serving(FakeVLLM()) as url:
        no_model = await example("--base-url", f"{url}/v1", "--model", "other")
        no_adapter = await example("--base-url", f"{url}/v1", "--model", BASE, "--lora", "nobody")
    for status, _, err in (no_model, no_adapter):
        assert status == 1
        assert len(err.splitlines()) == 1
    assert "--model" in no_model[2] and "'other'" in no_model[2]
    assert "nobody" in no_adapter[2]
