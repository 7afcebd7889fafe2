from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.e2e.kill import kill_repeatedly
from tests.e2e.store_victim import StoreVictim

ROUNDS = int(os.environ.get("KILL_ROUNDS", "10"))


@pytest.mark.slow
async def test_kill_9_loses_nothing_acknowledged_and_tears_no_line(tmp_path: Path) -> None:
    report = await kill_repeatedly(StoreVictim(tmp_path), ROUNDS, random.Random(7))
    assert report.defects == {}
    assert report.found["acknowledged"] > 0
    assert report.found["lines"] > 0
