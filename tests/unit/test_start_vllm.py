"""scripts/start_vllm.sh, run as a user runs it, with a venv-vllm whose python only tells what it got."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "start_vllm.sh"
PYTHON = """#!/bin/bash
echo "$$"
echo "$VLLM_ALLOW_RUNTIME_LORA_UPDATING $VLLM_CPU_KVCACHE_SPACE"
printf '%s\\n' "$@"
"""


@dataclass(frozen=True)
class Project:
    root: Path

    def start(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "scripts" / "start_vllm.sh"), *arguments],
            cwd=self.root / "elsewhere",
            env={"PATH": os.environ["PATH"], "VLLM_TARGET_DEVICE": "cpu", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def command(self, *arguments: str, **environment: str) -> list[str]:
        """What would be run: environment and arguments, as a shell would read them."""
        done = self.start(*arguments, "--dry-run", **environment)
        assert done.returncode == 0, done.stderr
        return shlex.split(done.stdout)

    def refusal(self, *arguments: str, **environment: str) -> str:
        done = self.start("--dry-run", *arguments, **environment)
        assert done.returncode in {1, 2}
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1
        return done.stderr

    def adapter(self, name: str, rank: int = 8) -> Path:
        path = self.root / "elsewhere" / name
        path.mkdir(parents=True)
        config = {"r": rank, "base_model_name_or_path": "some/base", "peft_type": "LORA"}
        (path / "adapter_config.json").write_text(json.dumps(config, indent=2))
        return path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "a 'project' $(touch x)"
    (root / "scripts").mkdir(parents=True)
    (root / "elsewhere").mkdir()
    shutil.copy(SCRIPT, root / "scripts")
    model = root / "local-models" / "small"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    return Project(root)


def value(command: list[str], option: str) -> str:
    return command[command.index(option) + 1]


def test_the_defaults(project: Project) -> None:
    command = project.command()
    assert value(command, "--model") == "unsloth/Qwen2.5-3B-Instruct"
    assert value(command, "--host") == "127.0.0.1"
    assert value(command, "--port") == "8000"
    assert value(command, "--dtype") == "auto"
    assert value(command, "--max-model-len") == "4096"
    assert value(command, "--max-loras") == "4"
    assert value(command, "--max-lora-rank") == "16"
    assert value(command, "--lora-dtype") == "auto"
    assert "--enable-lora" in command
    assert not {"--quantization", "--trust-remote-code", "--lora-modules"} & set(command)


def test_a_cpu_gets_a_small_cache_and_no_compiler(project: Project) -> None:
    command = project.command()
    assert {"VLLM_TARGET_DEVICE=cpu", "VLLM_CPU_KVCACHE_SPACE=2", "--enforce-eager"} <= set(command)
    assert "--gpu-memory-utilization" not in command
    assert "VLLM_CPU_KVCACHE_SPACE=7" in project.command(VLLM_CPU_KVCACHE_SPACE="7")


def test_a_gpu_gets_a_share_of_its_memory(project: Project) -> None:
    command = project.command(VLLM_TARGET_DEVICE="cuda")
    assert value(command, "--gpu-memory-utilization") == "0.9"
    assert "--enforce-eager" not in command


def test_known_options_are_taken_with_space_or_equals_sign(project: Project) -> None:
    command = project.command("--port", "8123", "--quantization=awq", "--tensor-parallel-size", "2")
    assert value(command, "--port") == "8123"
    assert value(command, "--quantization") == "awq"
    assert value(command, "--tensor-parallel-size") == "2"


def test_everything_else_reaches_vllm_as_it_is(project: Project) -> None:
    others = ["--max-num-seqs", "8", "--trust-remote-code", "--served-model-name", "a b", "$(touch y)"]
    assert project.command("org/model", *others)[-len(others) :] == others


def test_a_model_directory_is_found_from_the_project_and_served_under_its_name(project: Project) -> None:
    command = project.command("local-models/small")
    assert value(command, "--model") == str(project.root / "local-models" / "small")
    assert value(command, "--served-model-name") == "small"
    named = project.command("local-models/small", "--served-model-name", "mine")
    assert named.count("--served-model-name") == 1


def test_adapters_are_served_from_absolute_paths_whatever_these_are_called(project: Project) -> None:
    plain, odd = project.adapter("plain"), project.adapter("odd \"name\" = `id` 'x'")
    command = project.command("--lora", "a=plain", "--lora", f"b-1={odd.name}")
    start = command.index("--lora-modules")
    assert command[start + 1 : start + 3] == [f"a={plain}", f"b-1={odd}"]


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["--lora", "plain"], "NAME=DIRECTORY"),
        (["--lora", "../x=plain"], "letters, digits"),
        (["--lora", "a=nowhere"], "no adapter at 'nowhere'"),
        (["--lora", "a=wide"], "--max-lora-rank"),
        (["--lora", "a=plain", "--no-lora"], "exclude each other"),
        (["--model", "plain"], "--lora NAME="),
        (["--model", "./nowhere"], "no model directory"),
        (["--model", "local-models/nowhere"], "make_small_model.py"),
        (["--port", "http"], "whole number"),
        (["--model"], "needs a value"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_before_vllm_loads(
    project: Project, arguments: list[str], mend: str
) -> None:
    project.adapter("plain")
    project.adapter("wide", rank=64)
    assert mend in project.refusal(*arguments)


def test_adapters_load_at_run_time_on_loopback_or_with_a_key_only(project: Project) -> None:
    on, off = "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1", "VLLM_ALLOW_RUNTIME_LORA_UPDATING=0"
    assert on in project.command()
    assert on in project.command("--host", "::1")
    assert off in project.command("--host", "0.0.0.0")
    assert off in project.command("--no-lora")
    assert off in project.command(VLLM_ALLOW_RUNTIME_LORA_UPDATING="0")
    assert on in project.command("--host", "0.0.0.0", VLLM_API_KEY="secret")
    asked = project.refusal("--host", "0.0.0.0", VLLM_ALLOW_RUNTIME_LORA_UPDATING="1")
    assert "VLLM_API_KEY" in asked


def test_a_host_that_only_looks_like_loopback_is_not(project: Project) -> None:
    command = project.command("--host", "127.evil.example")
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=0" in command


def test_the_key_is_never_on_the_command_line(project: Project) -> None:
    assert not any("secret" in word for word in project.command(VLLM_API_KEY="secret"))


def test_without_an_installation_it_says_how_to_get_one(project: Project) -> None:
    done = project.start()
    assert done.returncode == 1
    assert "scripts/setup_vllm.sh" in done.stderr


def test_the_server_takes_the_place_of_the_script(project: Project) -> None:
    python = project.root / "venv-vllm" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    script = str(project.root / "scripts" / "start_vllm.sh")
    with subprocess.Popen(
        [script, "org/a model", "--port", "8123"],
        env={"PATH": os.environ["PATH"], "VLLM_TARGET_DEVICE": "cpu"},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        said = server.communicate()[0].splitlines()
    assert said[0] == str(server.pid)
    assert said[1] == "1 2"
    assert said[2:6] == ["-m", "vllm.entrypoints.openai.api_server", "--model", "org/a model"]
