"""Every error as RFC 9457 `application/problem+json`, from one place."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from app.api.json import encode
from app.errors import Overloaded, ServiceError, StorageError, Unauthorized

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


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's OpenAPI entry: these statuses answer with a Problem."""
    return {
        status: {"model": Problem, "content": {"application/problem+json": {}}, "description": "Problem"}
        for status in statuses
    }


def install(app: FastAPI) -> None:
    """Register the handlers; the only place where errors become answers."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(Exception, _unforeseen)


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    headers: dict[str, str] = {}
    if isinstance(error, Overloaded | StorageError) or error.retry_after is not None:
        headers["retry-after"] = str(math.ceil(error.retry_after or 1))
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    if error.status >= 500:
        log.warning("%s %s: %s: %s", request.method, request.url.path, error.slug, error.detail)
    return problem(error.status, error.slug, error.title, error.detail, request.url.path, headers=headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
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
    assert isinstance(error, HTTPException)
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
