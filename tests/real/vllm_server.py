"""A real vLLM for tests: started by scripts/start_vllm.sh on a free loopback port."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "local-models" / "smollm2-135m-instruct"
ADAPTERS = ROOT / "local-models" / "adapters"
START_SECONDS = 400.0
_RUNNING = re.compile(r"^vllm:num_requests_running\{[^}]*\} ([0-9.]+)", re.MULTILINE)
MISSING = "run scripts/setup_vllm.sh --cpu --small-model first, or all of it by make test-vllm"


class VLLMServer:
    """A server that may be paused or killed; `start` brings it back on the same port."""

    def __init__(self, log: Path, model: Path = MODEL, adapters: Mapping[str, Path] | None = None) -> None:
        """`adapters`: directories by name; None: the two small ones."""
        self.log = log
        self.model = model.name
        self.adapters = _small_adapters() if adapters is None else dict(adapters)
        """The directory of each adapter by its name."""
        self._directory = model
        self.root_url = f"http://127.0.0.1:{_free_port()}"
        self.base_url = f"{self.root_url}/v1"
        self._process: subprocess.Popen[bytes] | None = None

    def adapter(self, style: str) -> str:
        """The name of the small adapter of this style: questions or assumptions."""
        return next(name for name in self.adapters if name.startswith(f"{style}-"))

    def start(self) -> None:
        """Start it unless it runs, and return once it has answered with one token."""
        if self._process is not None and self._process.poll() is None:
            return
        if not (self._directory / "config.json").is_file() or not self._has_adapters():
            raise RuntimeError(MISSING)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env={**os.environ, "VLLM_MODEL_NAME": str(self._directory)},
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            self._wait_until_healthy(time.monotonic() + START_SECONDS)
            self._canary()
        except BaseException:
            self.kill()
            raise

    def pause(self) -> None:
        """Let it hang: connections are accepted, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Without a word, engine and all."""
        self._signal(signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """As a user stops it."""
        self._signal(signal.SIGTERM)
        try:
            self._reap()
        except subprocess.TimeoutExpired:
            self.kill()

    def wait_until_running(self, requests: int) -> None:
        """Return once so many requests are being computed; raises after ten seconds."""
        for _ in range(100):
            found = _RUNNING.search(httpx.get(f"{self.root_url}/metrics", timeout=5).text)
            if found and float(found[1]) >= requests:
                return
            time.sleep(0.1)
        raise TimeoutError(f"vLLM never worked on {requests} requests at a time")

    def log_tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _command(self) -> list[str]:
        loras = [word for name, path in self.adapters.items() for word in ("--lora", f"{name}={path}")]
        port = self.root_url.rpartition(":")[2]
        return [str(ROOT / "scripts" / "start_vllm.sh"), "--port", port, *loras]

    def _has_adapters(self) -> bool:
        return all((path / "adapter_config.json").is_file() for path in self.adapters.values())

    def _wait_until_healthy(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"vLLM did not start:\n{self.log_tail()}")
            try:
                if httpx.get(f"{self.root_url}/health", timeout=5).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(1)
        raise RuntimeError(f"vLLM was not healthy after {START_SECONDS:.0f} s:\n{self.log_tail()}")

    def _canary(self) -> None:
        for model in (self.model, *self.adapters):
            body = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]}
            httpx.post(f"{self.base_url}/chat/completions", json=body, timeout=120).raise_for_status()

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.wait(timeout=30)
            self._process = None


def _small_adapters() -> dict[str, Path]:
    found = sorted(path.parent for path in ADAPTERS.glob("*/adapter_config.json"))
    if len(found) < 2:
        raise RuntimeError(MISSING)
    return {path.name: path for path in found}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
