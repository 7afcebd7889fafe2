"""Run every measurement, print each table: `python -m scripts.bench [hypothesize] [vllm] [memories]`."""

from __future__ import annotations

import asyncio
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from scripts.bench import added, memories, throughput

PARTS = {"hypothesize": throughput.measure, "vllm": added.measure, "memories": memories.measure}


def machine() -> str:
    """The processor, as the kernel names it, and the date."""
    info = Path("/proc/cpuinfo")
    models = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line]
        if info.exists()
        else []
    )
    name = f"{len(models)} x {models[0]}" if models else platform.processor()
    return f"{datetime.now(UTC):%Y-%m-%d}, {name}, Python {platform.python_version()}"


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    print(machine())
    for name in wanted:
        print(f"\n## {name}", flush=True)
        asyncio.run(PARTS[name]())


if __name__ == "__main__":
    main()
