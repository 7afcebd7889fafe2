"""What a training process writes while it runs, read by those who follow it."""

from __future__ import annotations

import json
from os import SEEK_END
from pathlib import Path
from typing import Any, NamedTuple

PROGRESS = "progress.jsonl"
_READ_AT_ONCE = 1 << 16
_TOLD = ("step", "steps", "epoch", "loss", "eval_loss", "learning_rate", "seconds", "eta_seconds")


class Line(NamedTuple):
    """A line, and the offset at which the next one begins."""

    text: str
    end: int


class Tail:
    """The lines of a file that grows; from its start again where it was written anew."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self.offset = offset
        """Bytes read so far; a new Tail that is given it goes on from there."""

    def read(self) -> list[Line]:
        """Complete lines that came since, at most 64 KiB of them; [] where there is no file yet."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, SEEK_END) < self.offset:
                    self.offset = 0
                file.seek(self.offset)
                block = file.read(_READ_AT_ONCE)
        except FileNotFoundError:
            return []
        return [self._step(line) for line in _whole_lines(block)]

    def _step(self, line: bytes) -> Line:
        self.offset += len(line)
        # A progress bar redraws its line after each carriage return: what counts is the last one.
        text = line.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2]
        return Line(text, self.offset)


def latest(directory: Path) -> dict[str, Any]:
    """A job's last progress: step, steps, epoch, loss, eval_loss?, learning_rate, seconds, eta_seconds."""
    found: dict[str, Any] = {}
    for line in last_lines(directory / PROGRESS):
        found |= told(line)
    return found


def result(directory: Path) -> Path | None:
    """Where the recipe says it left what it trained; None where it did not come to its end."""
    for line in reversed(last_lines(directory / PROGRESS)):
        record = _record(line)
        if record.get("event") == "done":
            path = record.get("adapter") or record.get("output")
            return Path(path) if isinstance(path, str) else None
    return None


def told(line: str) -> dict[str, Any]:
    """The figures in one line of progress; {} where it holds none."""
    figures = _record(line)
    return {name: figures[name] for name in _TOLD if isinstance(figures.get(name), (int, float))}


def last_lines(path: Path) -> list[str]:
    """The lines in the last 64 KiB of a file, without one that is still being written or cut in front."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return []
    tail = Tail(path, max(0, size - _READ_AT_ONCE))
    lines = [line.text for line in tail.read()]
    return lines if size <= _READ_AT_ONCE else lines[1:]


def _whole_lines(block: bytes) -> list[bytes]:
    end = block.rfind(b"\n") + 1
    if end == 0 and len(block) == _READ_AT_ONCE:
        return [block]
    return [line + b"\n" for line in block[:end].split(b"\n")[:-1]]


def _record(line: str) -> dict[str, Any]:
    try:
        # NaN, of which a diverged loss consists, is no JSON and no figure to keep.
        record = json.loads(line, parse_constant=lambda _: None)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
