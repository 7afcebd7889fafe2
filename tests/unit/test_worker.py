"""The worker outlives what nobody foresaw."""

from __future__ import annotations

import pytest

from app.commands.worker import _said


async def test_an_unforeseen_error_is_logged_and_the_worker_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def odd() -> None:
        raise RuntimeError("odd")

    await _said(odd)
    assert caplog.messages == ["the worker's look failed"]
