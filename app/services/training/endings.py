"""How a training process ended, in one line that says what to do."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

from app.models import JobStatus
from app.services.training.following import last_lines
from app.services.training.processes import LOG

_LONGEST = 300
_DISK_FULL = ("No space left on device", "Errno 28", "Disk quota exceeded")


@dataclass(frozen=True, slots=True)
class Ending:
    """What a job ends as."""

    status: JobStatus
    detail: str = ""
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What became of what a job trained."""

    adapter: str | None = None
    """The name under which it was registered, if it was."""
    detail: str = ""
    """What could not be done with it, and how to do it later."""


def failure(returncode: int, directory: Path) -> str:
    """Why a process ended without a result: by its exit status (negative: the signal) and its log."""
    said = [line.strip() for line in last_lines(directory / LOG) if line.strip()]
    if any(sign in line for line in said[-40:] for sign in _DISK_FULL):
        return "the disk is full; free some space, then resume the job"
    if returncode == -signal.SIGKILL:
        return "killed (signal 9), as when memory runs out; use a smaller batch or max_length, then resume"
    if returncode < 0:
        return f"ended by signal {-returncode} ({signal.Signals(-returncode).name})"
    last = one_line(said[-1]) if said else "its log is empty"
    if returncode == 0:
        return f"ended without a result: {last}"
    return f"exit status {returncode}: {last}"


def one_line(text: object) -> str:
    """An error or a line of a log as one line that is not too long."""
    return " ".join(str(text).split())[:_LONGEST]
