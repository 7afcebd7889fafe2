"""An OpenAI-compatible server that thinks for no time, and tells when it was thinking.

A raw asyncio server: its own cost must not hide in what is measured. GET /spans empties and answers the
list of [began, ended] on CLOCK_MONOTONIC, from the whole request read to the answer written.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

SPANS: list[tuple[float, float]] = []
HYPOTHESES = [
    {
        "detail": detail,
        "question": f"Which {detail} do you have in mind for it?",
        "statement": f"The {detail} is open",
        "importance": 3,
        "options": ["First", "Second", "Third"],
    }
    for detail in ("programming language", "kind of authentication", "place of deployment")
]
CHAT = {
    "id": "chatcmpl-0",
    "object": "chat.completion",
    "created": 0,
    "model": "stub",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": json.dumps({"hypotheses": HYPOTHESES})},
        }
    ],
    "usage": {"prompt_tokens": 400, "completion_tokens": 120, "total_tokens": 520},
}


def answer(path: str, body: dict[str, Any]) -> Any:
    if path == "/v1/chat/completions":
        return CHAT
    if path == "/tokenize":
        return {"count": 1, "max_model_len": 4096, "tokens": [len(str(body.get("prompt", "")))]}
    if path == "/generative_scoring":
        data = [{"index": place, "object": "score", "score": 0.25} for place in range(len(body["items"]))]
        return {
            "id": "score-0",
            "object": "list",
            "created": 0,
            "model": "stub",
            "data": data,
            "usage": CHAT["usage"],
        }
    if path == "/v1/models":
        return {
            "object": "list",
            "data": [{"id": "stub", "object": "model", "created": 0, "owned_by": "stub"}],
        }
    if path == "/version":
        return {"version": "0.32.0"}
    if path == "/spans":
        taken = list(SPANS)
        SPANS.clear()
        return taken
    return None


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, request after request."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            fields = head.lower().split("\r\n")
            length = next((int(f.split(":")[1]) for f in fields if f.startswith("content-length")), 0)
            raw = await reader.readexactly(length)
            began = time.monotonic()
            path = head.split(" ", 2)[1]
            found = answer(path, json.loads(raw) if raw else {})
            status, body = (
                ("200 OK", found) if found is not None else ("404 Not Found", {"error": {"message": path}})
            )
            payload = json.dumps(body).encode()
            writer.write(
                f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(payload)}\r\n\r\n".encode()
                + payload
            )
            if path not in ("/spans", "/v1/models", "/version"):
                SPANS.append((began, time.monotonic()))
    except (asyncio.IncompleteReadError, ConnectionResetError):
        writer.close()


async def main(port: int) -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
