from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.e2e.kill import VICTIMS, kill_repeatedly

ROUNDS = int(os.environ.get("KILL_ROUNDS", "8"))


@pytest.mark.slow
@pytest.mark.parametrize("victim", sorted(VICTIMS))
async def test_kill_9_loses_nothing_acknowledged_and_tears_no_line(victim: str, tmp_path: Path) -> None:
    report = await kill_repeatedly(VICTIMS[victim](tmp_path), ROUNDS, random.Random(7))
    assert report.defects == {}
    assert report.found["acknowledged"] > 0
    assert report.found["lines"] > 0
