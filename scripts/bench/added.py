"""What the vllm path adds over a backend that thinks for no time.

Added = what the client waited for, less the union of the spans in which the stub was at work. The user has
200 memories and 10 facets, the playbook is the shipped one, requests come one after another.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from scripts.bench.load import exchange, post
from scripts.bench.servers import ROOT, free_port, serving

_REQUESTS = 500
_WARM_UP = 100
_SUBJECTS = ["a REST API", "a trip to Oslo", "a dinner for six", "a logo", "a reading list", "a garden bench"]


async def measure() -> None:
    """p50 and p99 of the added milliseconds, and the backend calls of one request."""
    stub, service = free_port(), free_port()
    child = subprocess.Popen([sys.executable, str(ROOT / "scripts" / "bench" / "stub.py"), str(stub)])
    try:
        with tempfile.TemporaryDirectory() as folder:
            environment = {
                "DATABASE_URL": f"sqlite:///{folder}/bench.db",
                "SLM_IMPL": "vllm",
                "VLLM_BASE_URL": f"http://127.0.0.1:{stub}/v1",
                "VLLM_MODEL_NAME": "stub",
            }
            with serving("app.main:create_app", service, "/health/live", factory=True, **environment):
                await _measure(service, stub)
    finally:
        child.terminate()
        child.wait(10)


async def _measure(service: int, stub: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", service)
    watch = await asyncio.open_connection("127.0.0.1", stub)
    await _prepare(reader, writer)
    added, calls, seen = [], set(), 0
    for number in range(_WARM_UP + _REQUESTS):
        body = {"user_id": "bench", "input_text": f"Make {_SUBJECTS[number % len(_SUBJECTS)]} for me"}
        await _spans(watch)
        began = time.monotonic()
        answer = json.loads(
            await exchange(reader, writer, post("/v1/hypothesize", json.dumps(body).encode()))
        )
        waited = time.monotonic() - began
        spans = await _spans(watch)
        if number >= _WARM_UP:
            added.append(1000 * (waited - union(spans)))
            calls.add(answer["timings_ms"]["backend_calls"])
            seen += len(spans)
        if answer["backend"]["degraded"]:
            raise RuntimeError(f"not a figure for the vllm path: {answer['backend']}")
    writer.close()
    added.sort()
    told, saw = sorted(calls), seen / _REQUESTS
    p50, p99 = added[len(added) // 2], added[int(0.99 * len(added))]
    print(f"added p50 {p50:.2f} ms, p99 {p99:.2f} ms, {len(added)} requests")
    print(f"backend calls a request: {told} as told, {saw:.2f} as the stub saw")


def union(spans: Sequence[Sequence[float]]) -> float:
    """Seconds covered by at least one span."""
    total, covered_until = 0.0, 0.0
    for began, ended in sorted((float(span[0]), float(span[1])) for span in spans):
        total += max(0.0, ended - max(began, covered_until))
        covered_until = max(covered_until, ended)
    return total


async def _prepare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    memories = [{"text": f"Note {n}: last week I compared {_SUBJECTS[n % 6]} number {n}"} for n in range(200)]
    body: dict[str, Any] = {"user_id": "bench", "items": memories}
    await exchange(reader, writer, post("/v1/memories", json.dumps(body).encode()))
    facets = [{"name": f"habit {n}", "value": f"value {n}"} for n in range(10)]
    patch = post("/v1/personas/bench", json.dumps({"facets": facets}).encode()).replace(b"POST", b"PATCH", 1)
    await exchange(reader, writer, patch)


async def _spans(watch: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> list[list[float]]:
    found: list[list[float]] = json.loads(
        await exchange(*watch, b"GET /spans HTTP/1.1\r\nhost: stub\r\n\r\n")
    )
    return found
