from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.config import load_settings
from app.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "0" * 64
READ = """
from app.config import load_settings
s = load_settings()
print(s.port, s.slm_impl, s.lora_allowed, s.vllm_lora_name)
"""


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("SLM_IMPL", "gpt", "'local', 'http' or 'vllm'"),
        ("PORT", "0", "greater than or equal to 1"),
        ("PORT", "many", "integer"),
        ("VLLM_TIMEOUT", "-1", "greater than 0"),
        ("VLLM_BASE_URL", "localhost:8000", "http://"),
        ("VLLM_BASE_URL", "http://localhost:8000", "/v1"),
        ("VLLM_REPLICA_URLS", "http://one:8000,two:8000", "http://"),
        ("DATABASE_URL", "mysql://localhost/x", "sqlite:///"),
        ("MIN_CONFIDENCE_FOR_TRAINING", "70", "less than or equal to 1"),
        ("API_KEYS", "acme:use:short", "sha256hex"),
        ("API_KEYS", f"acme:root:{DIGEST}", "use+train+admin"),
        ("ENABLE_TRAINING_DATA_COLLECTION", "perhaps", "boolean"),
        ("RERANK_TOP_K", "1000", "less than or equal to 200"),
        ("HYPOTHESES_TOP_P", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_is_one_line_with_name_value_and_mend(name: str, value: str, mend: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from app.main import create_app; create_app()"],
        cwd=ROOT,
        env=os.environ | {name: value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"embed-service: {name}=")
    assert mend in line
    assert value in line or "KEY" in name or name == "DATABASE_URL"


def test_secrets_are_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(_env_file=None, api_keys="acme:use:hunter2")
    assert "hunter2" not in caught.value.detail


def test_the_environment_overrides_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=9000\nSLM_IMPL=http\nLORA_ALLOWED=a, b\nVLLM_LORA_NAME=\n")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            READ,
        ],
        cwd=tmp_path,
        env=os.environ | {"PORT": "9001", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["9001", "http", "('a',", "'b')", "None"]


def test_an_adapter_directory_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    code = (
        "import asyncio\nfrom app.cli import main\n"
        "import sys; sys.argv = ['embed-service', 'export', sys.argv[1]]\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        cwd=tmp_path,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "SLM_IMPL": "vllm",
            "VLLM_MODEL_NAME": str(tmp_path),
            "DATABASE_URL": f"sqlite:///{tmp_path}/x.db",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "is a LoRA adapter" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("PLAYBOOK", "/nowhere/at-all.jsonl", "PLAYBOOK"),
        ("TRAINING_DATA_DIR", "/proc/nowhere", "TRAINING_DATA_DIR"),
        ("DATABASE_URL", "sqlite:////tmp", "DATABASE_URL"),
        ("DATABASE_URL", "sqlite:////proc/nowhere/x.db", "DATABASE_URL"),
    ],
)
def test_a_start_that_fails_later_is_one_line_too(tmp_path: Path, name: str, value: str, word: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "--factory",
            "app.main:create_app",
            "--port",
            "0",
            "--log-level",
            "error",
        ],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "DATABASE_URL": f"sqlite:///{tmp_path}/x.db"}
        | {"ENABLE_TRAINING_DATA_COLLECTION": "true"}
        | {name: value},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert word in done.stderr
    assert "Traceback" not in done.stderr
