"""The HTTP door: `uvicorn app.main:create_app --factory`."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from app import __version__
from app.api import hypothesize, language, memories, ops, personas, problems, selections, users
from app.config import Settings, load_settings
from app.errors import ServiceError
from app.wiring import open_services

log = logging.getLogger(__name__)

_DESCRIPTION = (
    "Hears a vague request and answers with the clarifying questions that matter most to this user; "
    "learns from what they pick."
)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; settings from the environment where none are given.

    A wrong setting ends the process with one line, not with a traceback.
    """
    try:
        given = settings or load_settings()
    except ServiceError as error:
        sys.exit(f"embed-service: {error.detail}")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(given) as opened:
            app.state.services = opened
            yield

    app = FastAPI(
        title="Embed Service",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
    )
    app.state.max_body_bytes = given.max_body_bytes
    problems.install(app)
    for room in (hypothesize, selections, memories, personas, language, users, ops):
        app.include_router(room.router)
    return app
