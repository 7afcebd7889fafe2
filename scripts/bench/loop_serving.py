"""A real vLLM for the loop: started, given the adapter while it runs, asked without a grammar."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from app.clients.slm.base import GenerateHypotheses
from app.clients.slm.parsing import HypothesisReader, hypotheses
from app.clients.slm.prompts import render
from app.errors import BackendAnswerInvalid
from scripts.bench.servers import ROOT, free_port

_START_SECONDS = 600.0
_ANSWER_SECONDS = 600.0
_ANSWER_TOKENS = 400


@contextmanager
def vllm(model: Path, rank: int, log: Path) -> Iterator[str]:
    """Its root URL. RuntimeError, with the log's last lines, where it does not start."""
    port = free_port()
    script = str(ROOT / "scripts" / "start_vllm.sh")
    command = [script, str(model), "--port", str(port), "--max-lora-rank", str(rank)]
    with log.open("ab") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(url, server, log)
        yield url
    finally:
        _stop(server)


def _stop(server: subprocess.Popen[bytes]) -> None:
    """Its engine too: a busy one does not hear the first word."""
    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    ends = time.monotonic() + _START_SECONDS
    while time.monotonic() < ends and server.poll() is None:
        try:
            if httpx.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(1)
    raise RuntimeError(f"vLLM did not start:\n{log.read_text(errors='replace')[-2000:]}")


def load(url: str, name: str, path: Path) -> float:
    """Load the adapter on the running server; the seconds until it has answered with a first token."""
    began = time.monotonic()
    body = {"lora_name": name, "lora_path": str(path)}
    httpx.post(f"{url}/v1/load_lora_adapter", json=body, timeout=_ANSWER_SECONDS).raise_for_status()
    chat(url, name, [{"role": "user", "content": "Hello"}], 1)
    return time.monotonic() - began


def chat(url: str, model: str, messages: Sequence[Any], max_tokens: int = _ANSWER_TOKENS) -> str:
    """The likeliest answer, as free text: no schema is sent."""
    body = {"model": model, "messages": list(messages), "temperature": 0, "max_tokens": max_tokens}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, timeout=_ANSWER_SECONDS)
    return str(answer.raise_for_status().json()["choices"][0]["message"]["content"])


def unaided(url: str, model: str, requests: Sequence[str], at_once: int) -> list[bool]:
    """Of each request, whether the answer that no grammar held to its form is valid all the same."""
    with ThreadPoolExecutor(at_once) as pool:
        prompts = [render(GenerateHypotheses(text)).messages for text in requests]
        return [_is_valid(text) for text in pool.map(lambda one: chat(url, model, one), prompts)]


def _is_valid(text: str) -> bool:
    try:
        return bool(hypotheses(text, HypothesisReader(3, "vllm")))
    except BackendAnswerInvalid:
        return False
