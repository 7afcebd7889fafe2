"""The OpenAPI document: FastAPI's, with problems as they are sent and an example of every answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from app.api.examples import ANSWERS
from app.api.problems import Problem

_REFERENCE = "#/components/schemas/"
_DONE = {"200", "202"}


class DescribedAPI(FastAPI):
    """A FastAPI application whose document is complete."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            _complete(super().openapi())
        return super().openapi()


def _complete(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    described = Problem.model_json_schema(ref_template=_REFERENCE + "{model}")
    schemas |= described.pop("$defs") | {Problem.__name__: described}
    for operation in _operations(document):
        for status in _DONE & operation["responses"].keys():
            answered = operation["responses"][status].get("content", {}).get("application/json")
            if answered is not None:
                answered["example"] = ANSWERS[answered["schema"]["$ref"].removeprefix(_REFERENCE)]


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()
