"""Child processes that a measurement talks to."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(app: str, port: int, ready: str, *, factory: bool = False, **environment: str) -> Iterator[None]:
    """`app` under uvicorn on loopback until the block is left; RuntimeError if it never gets ready."""
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "error"]
    child = subprocess.Popen(
        command + ["--factory"] * factory, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)} | environment
    )
    try:
        _wait(f"http://127.0.0.1:{port}{ready}", child)
        yield
    finally:
        child.terminate()
        child.wait(10)


def _wait(url: str, child: subprocess.Popen[bytes], seconds: float = 30) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and child.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"nothing answers at {url}")
