"""The HTTP door: `uvicorn app.main:create_app --factory`."""

from __future__ import annotations

import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from fastapi import FastAPI
from starlette.datastructures import State
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import __version__
from app.api import (
    adapters,
    calibration,
    experiments,
    hypothesize,
    language,
    memories,
    ops,
    personas,
    playbook,
    problems,
    selections,
    training,
    users,
)
from app.api.openapi import DescribedAPI
from app.config import Settings, load_settings
from app.errors import ServiceError
from app.wiring import open_services

log = logging.getLogger(__name__)

EXPERIMENT_SECONDS = 10.0
"""Between two looks at the experiments that run."""

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
        try:
            async with open_services(given) as opened:
                app.state.services = opened
                jobs = opened.runner.running() if given.train_in_service else nullcontext()
                async with jobs, opened.canaries.watching(EXPERIMENT_SECONDS):
                    yield
        except ServiceError as error:
            app.state.failure = error.detail
            raise

    app = DescribedAPI(
        title="Embed Service",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
    )
    app.state.max_body_bytes = given.max_body_bytes
    app.state.failure = None
    app.add_middleware(StartInOneLine, state=app.state)
    problems.install(app)
    for room in (
        hypothesize, selections, memories, personas, playbook, calibration, language, training, adapters,
        experiments, users, ops,
    ):  # fmt: skip
        app.include_router(room.router)
    return app


class StartInOneLine:
    """Where the start fails for a reason of ours, the server logs that reason and not a traceback."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self.app, self.state = app, state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def brief(message: Message) -> None:
            if message["type"].endswith(".failed") and self.state.failure:
                message = {**message, "message": f"embed-service: {self.state.failure}"}
            await send(message)

        await self.app(scope, receive, brief)
