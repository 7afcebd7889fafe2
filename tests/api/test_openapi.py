"""The document says what is sent: problems as problems, and for every call examples that fit their schema."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter

import app.api
from app.api import problems
from app.api.examples import ANSWERS
from app.config import Settings
from app.main import create_app

DOCUMENT = create_app(Settings(_env_file=None)).openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]
PROBLEM = {"$ref": "#/components/schemas/Problem"}


def routes() -> Iterator[tuple[str, APIRoute, dict[str, Any]]]:
    for room in pkgutil.iter_modules(app.api.__path__, "app.api."):
        router = getattr(import_module(room.name), "router", None)
        for route in router.routes if isinstance(router, APIRouter) else ():
            assert isinstance(route, APIRoute)
            for method in sorted(route.methods or ()):
                operation = DOCUMENT["paths"][route.path_format][method.lower()]
                yield f"{method} {route.path}", route, operation


ROUTES = list(routes())
every_route = pytest.mark.parametrize(
    ("route", "operation"), [(route, operation) for _, route, operation in ROUTES], ids=[r[0] for r in ROUTES]
)


def models() -> Iterator[type[BaseModel]]:
    """Of request bodies."""
    for _, route, _ in ROUTES:
        for parameter in route.dependant.body_params:
            annotation = parameter.field_info.annotation
            assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
            yield annotation


BODIES = list(models())


def test_every_route_is_in_the_document() -> None:
    documented = {f"{method.upper()} {path}" for path, said in DOCUMENT["paths"].items() for method in said}
    assert documented == {name for name, _, _ in ROUTES}
    assert len(BODIES) == sum("requestBody" in operation for _, _, operation in ROUTES)


@every_route
def test_it_says_what_the_call_does(route: APIRoute, operation: dict[str, Any]) -> None:
    assert operation["summary"] and operation["description"]
    assert operation["tags"]


@every_route
def test_errors_are_declared_as_problems_and_nothing_else(route: APIRoute, operation: dict[str, Any]) -> None:
    failing = {status: said for status, said in operation["responses"].items() if int(status) >= 400}
    if route.path != "/health/live":
        assert "503" in failing
    if route.path.startswith("/v1"):
        assert {"401", "403"} <= failing.keys()
    if "requestBody" in operation:
        assert {"400", "413", "422"} <= failing.keys()
    if operation.get("parameters"):
        assert "422" in failing
    for status, said in failing.items():
        assert list(said["content"]) == ["application/problem+json"], status
        content = said["content"]["application/problem+json"]
        assert content["schema"] == PROBLEM
        assert problems.Problem.model_validate(content["example"]).status == int(status)


@every_route
def test_an_example_of_the_answer_fits_its_schema(route: APIRoute, operation: dict[str, Any]) -> None:
    if route.status_code == 204:
        assert "content" not in operation["responses"]["204"]
        return
    answer = operation["responses"][str(route.status_code or 200)]["content"]
    if (stream := answer.get("text/event-stream")) is not None:
        assert list(answer) == ["text/event-stream"]
        assert re.search(r"^event: \w+\nid: .+\ndata: \{.*\}\n\n", stream["example"])
        return
    content = answer["application/json"]
    read = TypeAdapter(route.response_model).validate_python(content["example"])
    assert keys(read.model_dump(mode="json")) == keys(content["example"])


@every_route
def test_what_a_call_needs_has_an_example(route: APIRoute, operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["required"]:
            assert parameter["schema"]["examples"], parameter["name"]


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_an_example_of_the_body_is_accepted(body: type[BaseModel]) -> None:
    examples = SCHEMAS[body.__name__]["examples"]
    assert examples
    for example in examples:
        body.model_validate(example)


def test_no_example_is_for_nothing() -> None:
    used = {route.response_model.__name__ for _, route, _ in ROUTES if route.response_model is not None}
    assert used == set(ANSWERS)


def test_every_reference_leads_somewhere_and_fastapi_s_own_error_is_gone() -> None:
    assert not {"HTTPValidationError", "ValidationError"} & SCHEMAS.keys()
    assert {reference.removeprefix("#/components/schemas/") for reference in references(DOCUMENT)} <= set(
        SCHEMAS
    )


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


def keys(value: Any) -> Any:
    """The shape of a value: what its objects have, and what its lists hold."""
    if isinstance(value, dict):
        return {key: keys(inner) for key, inner in value.items()}
    return [keys(inner) for inner in value] if isinstance(value, list) else None
