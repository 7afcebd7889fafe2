"""What a killed process has left of the four JSONL files."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from pathlib import Path

import orjson

from app.services.training import TrainingDataCollector


class TrainingFiles:
    """The files of one directory, each read from where the last look ended."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._seen: defaultdict[Path, int] = defaultdict(int)

    async def check(self) -> Counter[str]:
        """Heal them as a start would, then count the lines of the life that ended."""
        async with TrainingDataCollector(self._directory) as collector:
            healed = (await collector.stats())["healed"]
        return Counter({"torn lines healed": healed}) + await asyncio.to_thread(self._read)

    def _read(self) -> Counter[str]:
        """What stood before must still stand, and is not read again."""
        found: Counter[str] = Counter()
        for path in self._directory.glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._seen[path])
                content = file.read()
            found["broken length"] += path.stat().st_size < self._seen[path]
            found["broken last line"] += bool(content) and not content.endswith(b"\n")
            found.update(_kind(line) for line in content.splitlines())
            self._seen[path] += len(content)
        return found


def _kind(line: bytes) -> str:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return "broken lines"
    return "lines"
