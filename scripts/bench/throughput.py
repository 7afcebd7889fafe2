"""POST /v1/hypothesize with the local backend, against a bare FastAPI route of the same answer size."""

from __future__ import annotations

import asyncio
import json
import tempfile

from scripts.bench.load import Load, exchange, post, run
from scripts.bench.servers import free_port, serving

_CONNECTIONS = 8
_ROUNDS = 3
_REQUESTS = 400
_TASKS = ["build api", "Plan a trip to Tokyo.", "Find me a recipe.", "Write a poem.", "Recommend a laptop."]


def requests(count: int) -> list[bytes]:
    """Different users, so that nothing is answered from what an earlier request has taught."""
    return [
        post(
            "/v1/hypothesize",
            json.dumps({"user_id": f"u{number}", "input_text": _TASKS[number % len(_TASKS)]}).encode(),
        )
        for number in range(count)
    ]


async def measure() -> None:
    """Rounds in turn, ours and bare; the median round's requests a second and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        ours, bare = free_port(), free_port()
        environment = {"DATABASE_URL": f"sqlite:///{folder}/bench.db", "SLM_IMPL": "local"}
        with serving("app.main:create_app", ours, "/health/live", factory=True, **environment):
            size = len(await _one(ours))
            with serving("scripts.bench.bare:app", bare, "/health/live", BARE_BYTES=str(size)):
                await run(ours, requests(100), _CONNECTIONS)
                await run(bare, requests(100), _CONNECTIONS)
                rounds = [
                    (
                        await run(ours, requests(_REQUESTS), _CONNECTIONS),
                        await run(bare, requests(_REQUESTS * 4), _CONNECTIONS),
                    )
                    for _ in range(_ROUNDS)
                ]
    rounds.sort(key=lambda pair: pair[0].per_second / pair[1].per_second)
    mine, yardstick = rounds[_ROUNDS // 2]
    print(f"answer {size} bytes, {_CONNECTIONS} connections, median of {_ROUNDS} rounds")
    _row("hypothesize, local", mine)
    _row("bare FastAPI route", yardstick)
    print(f"ratio {mine.per_second / yardstick.per_second:.3f}")


async def _one(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = await exchange(reader, writer, requests(1)[0])
    writer.close()
    await writer.wait_closed()
    return answer


def _row(name: str, load: Load) -> None:
    print(
        f"{name:20s} {load.per_second:8.0f} requests/s   p50 {load.quantile(0.5):6.2f} ms"
        f"   p99 {load.quantile(0.99):6.2f} ms"
    )
