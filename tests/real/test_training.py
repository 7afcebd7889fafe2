"""SFT, DPO and KTO on a real model of 135M parameters, and what a real vLLM makes of the results."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.recipes.render import render
from tests.real.training_runs import SETTINGS, WISHES, Run, dpo_rows, kto_rows, lay, lesson, says, sft_rows
from tests.real.vllm_server import VLLMServer

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("training")


@pytest.fixture(scope="module")
def sft(place: Path) -> Run:
    """Killed in the middle, gone on with, and merged."""
    run = lay("sft", sft_rows(), place / "sft", max_steps=12, save="merged", eval_dataset=str(place / "held"))
    (place / "held").write_text("".join(json.dumps(row) + "\n" for row in sft_rows()[:2]))
    process = run.start()
    run.wait_for(run.output.with_name("result.partial") / "checkpoint-4" / "trainer_state.json", process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run.train("--resume")
    return run


@pytest.fixture(scope="module")
def dpo(place: Path, sft: Run) -> Run:
    """Starts from the adapter of `sft` and unlearns what that says."""
    start = str(sft.output / "adapter")
    run = lay("preference", dpo_rows(), place / "dpo", max_steps=6, adapter=start, learning_rate=5e-4)
    run.train()
    return run


@pytest.fixture(scope="module")
def kto(place: Path) -> Run:
    run = lay("preference", kto_rows(), place / "kto", method="kto", max_steps=8)
    run.train()
    return run


@pytest.fixture(scope="module")
def evaluated(place: Path, sft: Run) -> list[dict[str, Any]]:
    """The lines of evaluate.py on the rows of DPO: the base alone, then with the adapter of `sft`."""
    rows = place / "held_out.jsonl"
    swapped = [
        {**row, "chosen": row["rejected"], "rejected": row["chosen"], "user": "u1"} for row in dpo_rows()
    ]
    rows.write_text("".join(json.dumps(row) + "\n" for row in swapped))
    said = {
        "datasets": [str(rows)],
        "model_name": SETTINGS["model_name"],
        "output": str(place / "evaluation" / "lines.jsonl"),
        "adapters": [None, str(sft.output / "adapter")],
        "prompts": 2,
        "max_tokens": 24,
        "threads": 1,
    }
    (place / "evaluation").mkdir()
    Run(render("evaluate", said, place / "evaluation" / "ask.py"), place / "evaluation").train()
    return [json.loads(line) for line in (place / "evaluation" / "lines.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def server(place: Path, sft: Run, dpo: Run, kto: Run) -> Iterator[VLLMServer]:
    """The base with the three adapters."""
    adapters = {"sft": sft.output / "adapter", "dpo": dpo.output, "kto": kto.output}
    running = VLLMServer(place / "vllm.log", adapters=adapters)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def answer(server: VLLMServer, model: str, wish: str) -> str:
    body = {"model": model, "messages": says("user", wish), "temperature": 0, "max_tokens": 24}
    said = httpx.post(f"{server.base_url}/chat/completions", json=body, timeout=120).raise_for_status()
    return str(said.json()["choices"][0]["message"]["content"])


def test_a_killed_run_goes_on_where_it_was_and_says_each_step_once(sft: Run) -> None:
    steps = [line["step"] for line in sft.progress if "loss" in line]
    assert steps == list(range(1, 13))
    assert sft.card["resumed_from_step"] in {4, 6, 8, 10}
    assert sft.progress[-1] == {
        "event": "done",
        "output": str(sft.output),
        "adapter": str(sft.output / "adapter"),
    }
    assert not sft.output.with_name("result.partial").exists()


def test_the_loss_falls(sft: Run, dpo: Run, kto: Run) -> None:
    for run in (sft, dpo, kto):
        assert run.losses[-1] < run.losses[0] / 2
        assert (run.card["first_loss"], run.card["last_loss"]) == (run.losses[0], run.losses[-1])
    assert sft.card["eval_loss"] < sft.losses[0] / 2


def test_a_result_has_its_card_and_its_curve(sft: Run, dpo: Run) -> None:
    for run in (sft, dpo):
        assert {"card.json", "card.md", "loss.png"} <= {path.name for path in run.output.iterdir()}
        assert (run.output / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert dpo.card["settings"]["adapter"] == str(sft.output / "adapter")
    assert (sft.card["rows"], sft.card["rows_evaluated"], sft.card["steps"]) == (len(WISHES), 2, 12)


def test_an_adapter_is_one_that_vllm_loads(sft: Run, dpo: Run, kto: Run) -> None:
    for adapter in (sft.output / "adapter", dpo.output, kto.output):
        config = json.loads((adapter / "adapter_config.json").read_text())
        assert (config["bias"], config["use_dora"], config["modules_to_save"]) == ("none", False, None)
        assert config["base_model_name_or_path"] == SETTINGS["model_name"]
        assert not [path for path in adapter.iterdir() if path.is_dir()], "the frozen reference stays out"


def test_a_finished_result_is_never_overwritten(sft: Run) -> None:
    process = sft.start("--resume")
    assert process.wait(60) == 2


def test_the_evaluation_tells_the_adapter_from_the_base(evaluated: list[dict[str, Any]], sft: Run) -> None:
    rows = [line for line in evaluated if line["event"] == "row"]
    base, tuned = [row for row in rows if not row["adapter"]], [row for row in rows if row["adapter"]]
    assert len(base) == len(tuned) == len(WISHES)
    for before, after in zip(base, tuned, strict=True):
        assert after["nll"] < before["nll"]
        assert after["margin"] > max(before["margin"], 0)
        assert before["tokens"] == after["tokens"] > 0
        assert before["about"] == {"user": "u1"}
    assert [row["row"] for row in tuned] == list(range(len(WISHES)))


def test_every_adapter_changes_the_answers_of_a_live_vllm(server: VLLMServer) -> None:
    for wish in WISHES[:2]:
        base, sft, dpo, kto = (answer(server, name, wish) for name in (server.model, "sft", "dpo", "kto"))
        assert sft == lesson(wish)
        assert "ZEBRA" not in base
        assert dpo != sft, "it was taught against what it started from"
        assert kto != base


def test_trainer_and_server_see_the_same_tokens(server: VLLMServer, evaluated: list[dict[str, Any]]) -> None:
    spoken = [line for line in evaluated if line["event"] == "continuation" and line["adapter"]]
    assert len(spoken) == 2
    for line in spoken:
        body = {"model": "sft", "messages": line["messages"]}
        served = httpx.post(f"{server.root_url}/tokenize", json=body, timeout=60).raise_for_status().json()
        assert served["tokens"] == line["prompt_ids"]
        assert line["text"] == answer(server, "sft", line["messages"][0]["content"])
        assert len(line["token_ids"]) == len(line["logprobs"])
        assert all(logprob <= 0 for logprob in line["logprobs"])


def test_a_merged_model_is_served_by_its_name_alone(server: VLLMServer, sft: Run, place: Path) -> None:
    server.stop()
    merged = VLLMServer(place / "merged.log", sft.output, adapters={})
    merged.start()
    try:
        assert answer(merged, "result", "build api") == lesson("build api")
    finally:
        merged.stop()
