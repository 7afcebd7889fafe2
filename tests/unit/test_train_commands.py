"""`embed-service train ...` and `worker`, from picks in a database to the exit status."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli import cli
from app.models import TrainingJob
from app.storage.open import open_store
from tests.api.conftest import running
from tests.api.test_training import picked, training_settings
from tests.training_jobs import eventually

MAIN = "import sys; from app.cli import main; sys.argv[0] = 'embed-service'; main()"


async def seed(folder: Path) -> None:
    async with running(training_settings(folder)) as client:
        await picked(client)


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    asyncio.run(seed(tmp_path))
    settings = training_settings(tmp_path)
    return {
        "DATABASE_URL": settings.database_url,
        "TRAINING_DATA_DIR": settings.training_data_dir,
        "ENABLE_TRAINING_DATA_COLLECTION": "true",
        "TRAINING_PYTHON": settings.training_python,
        "ADAPTERS_DIR": settings.adapters_dir,
        "VLLM_MODEL_NAME": "fake/finish",
        "API_KEYS": "",
    }


def invoke(environment: dict[str, str], *words: str, **changes: str) -> Result:
    return CliRunner().invoke(cli, list(words), env=environment | changes)


def told(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_prepare_says_what_was_kept_and_dropped(environment: dict[str, str], tmp_path: Path) -> None:
    said = invoke(environment, "train", "prepare", "--output", str(tmp_path / "made"))
    assert said.exit_code == 0
    assert "hypotheses: " in said.stdout
    assert "rows made" in said.stdout
    assert "dropped 15: " in said.stdout
    made = told(invoke(environment, "train", "prepare", "--json"))
    assert {one["task"] for one in made} == {"hypotheses", "persona_updates", "ranking", "preferences"}
    assert all(Path(one["path"]).exists() for one in made)


def test_a_script_is_written_with_its_configuration(environment: dict[str, str], tmp_path: Path) -> None:
    dataset = told(invoke(environment, "train", "prepare", "--json"))[0]["path"]
    words = ("--dataset", dataset, "--output", str(tmp_path / "model"), "--set", "epochs=3")
    script = Path(told(invoke(environment, "train", "script", *words, "--json"))["script"])
    config = json.loads(script.with_suffix(".json").read_text())
    assert (config["dataset"], config["epochs"], config["model_name"]) == (dataset, 3, "fake/finish")


def test_run_trains_and_status_and_log_tell_of_it(environment: dict[str, str], tmp_path: Path) -> None:
    output = tmp_path / "it's $(here)"
    job = told(invoke(environment, "train", "run", "--output", str(output), "--epochs", "2", "--json"))
    assert (job["status"], job["config"]["epochs"]) == ("succeeded", 2)
    assert (output / "adapter_config.json").exists()
    assert told(invoke(environment, "train", "status", job["id"], "--json")) == job
    assert [one["id"] for one in told(invoke(environment, "train", "status", "--json"))] == [job["id"]]
    line = invoke(environment, "train", "status").stdout
    assert f"{job['id']}  sft  succeeded  step 3; loss 0.333" in line
    assert told(invoke(environment, "train", "log", job["id"], "--json")) == {"log": ["attempt from step 0"]}
    assert invoke(environment, "train", "log", job["id"]).stdout == "attempt from step 0\n"


def test_a_failed_job_has_an_exit_status_of_its_own(environment: dict[str, str]) -> None:
    said = invoke(environment, "train", "run", "--model", "fake/crash")
    assert said.exit_code == 3
    assert "failed  step 1; loss 1.000" in said.stdout
    assert "exit status 1: not a number" in said.stdout


def test_cancel_then_resume(environment: dict[str, str]) -> None:
    job = told(invoke(environment, "train", "run", "--detach", "--json"))
    assert job["status"] == "queued"
    assert told(invoke(environment, "train", "cancel", job["id"], "--json"))["status"] == "cancelled"
    assert told(invoke(environment, "train", "resume", job["id"], "--json"))["status"] == "succeeded"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "--recipe", "grpo"), "recipe must be one of sft, dpo, kto"),
        (("run", "--set", "rank=-1"), "rank must be one of"),
        (("run", "--set", "output=x"), "output cannot be given as an option"),
        (("status", "nothing"), "There is no job 'nothing'."),
        (("run", "--tenant", "../other"), "there are no rows to train on"),
        (("run", "--set", "engine=$(touch pwned)"), "engine must be one of auto, unsloth, trl"),
        (("run", "--set", "$(touch pwned)=1"), "unknown $(touch pwned)"),
        (("run", "--recipe", "../sft"), "recipe must be one of sft, dpo, kto"),
        (("status", "../../embed.db"), "There is no job '../../embed.db'."),
        (("cancel", "'; DROP TABLE jobs; --"), "there is no job '; DROP TABLE jobs; --"),
    ],
)
def test_an_error_is_one_line(environment: dict[str, str], words: tuple[str, ...], said: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", MAIN, "train", *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("embed-service: ")
    assert said in ended.stderr


def test_a_missing_interpreter_is_told(environment: dict[str, str], tmp_path: Path) -> None:
    said = invoke(environment, "train", "run", TRAINING_PYTHON=str(tmp_path / "absent"))
    assert said.exit_code == 3
    assert "scripts/setup_train.sh" in said.stdout


async def the_job(environment: dict[str, str]) -> TrainingJob | None:
    store = open_store(environment["DATABASE_URL"])
    try:
        jobs, _ = await store.list_jobs(None, 1, None)
        return jobs[0] if jobs else None
    finally:
        await store.aclose()


def test_ctrl_c_cancels_and_resume_goes_on(environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "train", "run", "--model", "fake/hang"],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    async def begun() -> bool:
        job = await the_job(environment)
        return job is not None and job.progress.get("step") == 1

    asyncio.run(eventually(begun))
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate()
    assert process.returncode == 4
    assert "cancelled" in said
    job = asyncio.run(the_job(environment))
    assert job is not None
    assert told(invoke(environment, "train", "resume", job.id, "--json"))["progress"]["step"] == 3
    assert "attempt from step 1" in invoke(environment, "train", "log", job.id).stdout


def test_the_worker_trains_once_there_is_enough(environment: dict[str, str]) -> None:
    few = invoke(environment, "worker", "--once", TRAIN_AFTER_RECORDS="1000")
    assert few.exit_code == 0
    assert told(invoke(environment, "train", "status", "--json")) == []
    enough = invoke(environment, "worker", "--once", TRAIN_AFTER_RECORDS="15", VLLM_MODEL_NAME="fake/finish")
    assert enough.exit_code == 0
    (job,) = told(invoke(environment, "train", "status", "--json"))
    assert job["status"] == "succeeded"
    again = invoke(environment, "worker", "--once", TRAIN_AFTER_RECORDS="15")
    assert again.exit_code == 0
    assert len(told(invoke(environment, "train", "status", "--json"))) == 1
