"""The stores that keep the contract."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.storage.base import Store
from app.storage.migrate import downgrade, migrate
from app.storage.open import open_store
from tests.fakes import MemoryStore

KINDS = ["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    url = (
        f"sqlite:///{tmp_path}/new/test.db" if request.param == "sqlite" else os.environ["TEST_POSTGRES_URL"]
    )
    await migrate(url)
    opened = open_store(url)
    yield opened
    await opened.aclose()
    await downgrade(url)
