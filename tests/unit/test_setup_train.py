"""scripts/setup_train.sh, run as a user runs it; only the interpreter it is given is ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.setup_project import Project, make_project

ROOT = Path(__file__).parents[2]
PINS = ("train-trl.txt", "train-unsloth.txt")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, "setup_train.sh", [f"requirements/{pins}" for pins in PINS])


@pytest.mark.parametrize("engine", ["trl", "unsloth"])
def test_torch_comes_first_and_then_the_pins_of_the_engine(project: Project, engine: str) -> None:
    done = project.setup("--engine", engine, TORCH_INDEX_URL="https://torch.example/gpu")
    assert done.returncode == 0, done.stderr
    torch, pins = project.pip_calls()
    assert torch.endswith("--index-url https://torch.example/gpu torch==2.13.0")
    assert "--no-deps --require-hashes -r" in pins
    assert pins.endswith(f"requirements/train-{engine}.txt")


def test_each_engine_has_its_own_environment(project: Project) -> None:
    project.setup("--cpu")
    project.setup("--engine=unsloth", "--cpu")
    assert {path.name for path in project.root.glob("venv-*")} == {"venv-train", "venv-train-unsloth"}


def test_a_cpu_build_goes_without_what_only_fits_a_gpu(project: Project) -> None:
    project.setup("--engine", "unsloth", "--cpu")
    assert project.pip_calls()[-1].endswith("uninstall --quiet --yes torchvision")


def test_a_second_run_installs_nothing_and_changed_pins_are_installed(project: Project) -> None:
    project.setup("--cpu")
    before = project.pip_calls()
    assert project.setup("--cpu").returncode == 0
    assert project.pip_calls() == before
    with (project.root / "requirements" / "train-trl.txt").open("a") as pins:
        pins.write("one-more==1.0\n")
    project.setup("--cpu")
    assert len(project.pip_calls()) == 2 * len(before)


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


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--gpu"], "unknown argument"),
        (["--engine", "keras"], "trl or unsloth"),
        (["--engine"], "needs a value"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(project: Project, arguments: list[str], complaint: str) -> None:
    done = project.setup(*arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list(project.root.glob("venv-*"))


@pytest.mark.parametrize("name", PINS)
def test_every_pin_has_its_hashes_and_torch_is_none_of_them(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text().replace("\\\n", " ")
    for pin in text.splitlines():
        assert re.fullmatch(r"[a-z0-9-]+==[^\s+]+(\s+--hash=sha256:[0-9a-f]{64})+\s*", pin), pin
    assert "\ntorch==" not in text
    assert "triton==" not in text
