"""The whole service in this process: real SQLite, real playbook, real embedder, no socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.config import Settings
from app.main import create_app


def settings_in(folder: Path, **values: Any) -> Settings:
    """Settings that depend on nothing outside `folder`."""
    given = {
        "database_url": f"sqlite:///{folder}/embed.db",
        "training_data_dir": str(folder / "training"),
        "slm_impl": "local",
        "api_keys": (),
    }
    return Settings(_env_file=None, **(given | values))


@asynccontextmanager
async def running(settings: Settings, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """The service with its lifespan, and a client that talks to it in-process."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            yield client


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with running(settings_in(tmp_path)) as opened:
        yield opened
