"""scripts/example_vllm_usage.py in a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


async def example(*arguments: str, seconds: float = 60.0) -> tuple[int | None, str, str]:
    """Exit status, stdout and stderr."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "scripts/example_vllm_usage.py",
        *arguments,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(seconds):
        out, err = await running.communicate()
    return running.returncode, out.decode(), err.decode()
