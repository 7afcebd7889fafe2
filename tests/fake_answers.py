"""What the fake vLLM says: no model's words, but of the form that was asked for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse

DETAILS = ("goal", "audience", "budget", "deadline", "format", "place", "size", "style")


def answer(body: dict[str, Any]) -> str:
    said = body["messages"][-1]["content"]
    form = body.get("response_format")
    if form is None:
        if body["max_tokens"] == 1:
            return "yes" if belief(said) > 0.5 else "no"
        words = [*str(json.loads(said)["text"]).split()[:40], *f"So says {body['model']}.".split()]
        return " ".join(words[: max(1, int(body["max_tokens"] * 0.75))])
    return json.dumps(_filled(form["json_schema"]["schema"], body["model"], iter(DETAILS), "answer"))


def _filled(schema: dict[str, Any], model: str, details: Iterator[str], key: str) -> Any:
    """A value that `schema` allows."""
    if "enum" in schema:
        return schema["enum"][-1]
    match schema["type"]:
        case "object":
            own = iter([next(details)] * 9) if "detail" in schema["properties"] else details
            return {name: _filled(part, model, own, name) for name, part in schema["properties"].items()}
        case "array":
            count = max(schema.get("minItems", 0), min(2, schema.get("maxItems", 2)))
            return [_filled(schema["items"], model, details, f"{key} {index}") for index in range(count)]
        case "integer" | "number":
            return schema.get("minimum", 0)
        case _:
            return _phrase(key, next(details, "end"), model)


def _phrase(key: str, detail: str, model: str) -> str:
    if key.startswith("question"):
        return f"What {detail} do you have in mind, asks {model}?"
    if key == "statement":
        return f'The {detail} is left "open" {{so far}}.'
    return detail if key == "detail" else f"{detail} {key}"


def belief(text: str) -> float:
    """How much of an item's query stands in its text; a longer request is a clearer one."""
    item = json.loads(text) if text.startswith("{") else _fields(text)
    if "query" not in item:
        return min(0.95, len(str(item.get("request", text)).split()) / 20)
    query, words = (set(re.findall(r"\w+", str(item[key]).lower())) for key in ("query", "text"))
    return 0.05 + 0.9 * len(query & words) / max(1, len(query))


def _fields(text: str) -> dict[str, Any]:
    """`Name: "value"` lines, as a prompt without a chat template has them."""
    lines = re.findall(r"^(\w+): (.+)$", text, re.MULTILINE)
    return {name.lower(): json.loads(value) for name, value in lines}


def logprobs(body: dict[str, Any]) -> dict[str, Any]:
    sure = belief(body["messages"][-1]["content"])
    tops = [
        ("yes", sure * 0.8),
        ("no", (1 - sure) * 0.8),
        (" Yes", sure * 0.1),
        (" No", (1 - sure) * 0.1),
    ]
    tokens = [{"token": token, "logprob": math.log(max(p, 1e-9)), "bytes": None} for token, p in tops]
    return {"content": [{**max(tokens, key=lambda one: one["logprob"]), "top_logprobs": tokens}]}


def envelope(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-fake", "object": kind, "created": 0, "model": body["model"]}


def usage(body: dict[str, Any], text: str) -> dict[str, Any]:
    prompt = sum(len(one["content"].split()) for one in body["messages"])
    completion = len(text.split())
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"


def error(status: int, text: str, kind: str, param: str | None = None) -> JSONResponse:
    return JSONResponse({"error": {"message": text, "type": kind, "param": param, "code": status}}, status)
