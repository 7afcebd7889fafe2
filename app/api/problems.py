"""Every error as RFC 9457 `application/problem+json`, from one place."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.json import encode
from app.errors import ServiceError, StorageError, Unauthorized

log = logging.getLogger(__name__)
_SHOWN_ERRORS = 20
_SLUGS = {400: "bad-request", 404: "not-found", 405: "method-not-allowed", 413: "too-large"}


class FieldError(BaseModel):
    """What is wrong with one field of the body, the query or the path."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457; `type` is a path under which nothing need be served."""

    type: str = Field(examples=["/problems/invalid-input"])
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldError] | None = None


def problem(
    status: int,
    slug: str,
    title: str,
    detail: str,
    instance: str,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    body: dict[str, Any] = {
        "type": f"/problems/{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
    }
    if errors is not None:
        body["errors"] = errors
    return Response(encode(body), status, headers, media_type="application/problem+json")


_DECLARED = {
    400: ("bad-request", "Bad request", "The body is not JSON in UTF-8, or is nested too deep."),
    401: ("unauthorized", "Unauthorized", "A key is needed, or this one is unknown."),
    403: ("forbidden", "Forbidden", "The key has not the scope that the call needs."),
    404: ("not-found", "Not found", "There is no such thing here."),
    409: ("conflict", "Conflict", "This contradicts what was said before."),
    413: ("too-large", "Too large", "The body is larger than MAX_BODY_BYTES."),
    422: ("invalid-input", "Invalid input", "The request is not valid; `errors` names the fields."),
    501: ("not-supported", "Not supported", "The backend that is configured cannot do this."),
    503: ("storage-unavailable", "Storage unavailable", "A part that is needed is away; try again later."),
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's OpenAPI entry: these statuses answer with a Problem, and with nothing else."""
    return {status: _declared(status, *_DECLARED[status]) for status in statuses}


def _declared(status: int, slug: str, title: str, detail: str) -> dict[str, Any]:
    example = {
        "type": f"/problems/{slug}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": "/",
    }
    content = {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}, "example": example}
    return {"description": detail, "content": {"application/problem+json": content}}


def install(app: FastAPI) -> None:
    """Register the handlers; the only place where errors become answers."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unforeseen)


async def _service_error(request: Request, error: Exception) -> Response:
    error = cast(ServiceError, error)
    headers: dict[str, str] = {}
    if isinstance(error, StorageError) or error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after or 1))
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    if error.status >= 500:
        log.warning("%s %s: %s: %s", request.method, request.url.path, error.slug, error.detail)
    return problem(error.status, error.slug, error.title, error.detail, request.url.path, headers=headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    error = cast(RequestValidationError, error)
    found = [
        {
            "field": ".".join(str(part) for part in item["loc"] if part != "body") or "body",
            "message": item["msg"],
        }
        for item in error.errors()[:_SHOWN_ERRORS]
    ]
    detail = "; ".join(f"{item['field']}: {item['message']}" for item in found[:3])
    return problem(422, "invalid-input", "Invalid input", detail, request.url.path, found)


async def _http_exception(request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    slug = {404: "not-found", 405: "method-not-allowed", 400: "bad-request"}.get(
        error.status_code, "http-error"
    )
    title = slug.replace("-", " ").capitalize()
    return problem(error.status_code, slug, title, str(error.detail), request.url.path, headers=error.headers)


async def _unforeseen(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(
        500, "internal", "Internal error", "The service failed; its log says why.", request.url.path
    )
