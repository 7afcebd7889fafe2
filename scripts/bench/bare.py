"""The yardstick: a FastAPI route that parses the same body and answers with as many bytes."""

from __future__ import annotations

import os

from fastapi import FastAPI, Response
from pydantic import BaseModel

_BODY = b'{"text": "' + b"x" * (int(os.environ["BARE_BYTES"]) - 12) + b'"}'
app = FastAPI()


class Ask(BaseModel):
    user_id: str
    input_text: str


@app.get("/health/live")
async def live() -> Response:
    return Response(b"{}", media_type="application/json")


@app.post("/v1/hypothesize")
async def hypothesize(ask: Ask) -> Response:
    del ask
    return Response(_BODY, media_type="application/json")
