"""Training processes: each in a group of its own, niced, and found again after its runner died."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import time
from asyncio import StreamWriter
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from pathlib import Path

MARK = "process.json"
"""Pid and birth of the process that trains in a job directory, while it does."""
LOG = "log.txt"
NICENESS = 10
_GATE = 'read -r go && exec "$@"'
"""The command begins once it is told to: a runner that dies before it wrote MARK leaves nothing behind."""


async def start(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> Process:
    """Run `command` with `directory` as its own, output appended to LOG there. Raises OSError."""
    with (directory / LOG).open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", _GATE, "sh", *command),
            stdin=PIPE,
            stdout=log,
            stderr=log,
            cwd=directory,
            env=dict(environment),
            start_new_session=True,
        )
    try:
        await asyncio.to_thread(_mark, directory, process.pid)
        if process.stdin is not None:
            await _open_gate(process.stdin)
    except BaseException:
        await stop(process, directory, grace_seconds=0)
        raise
    return process


async def stop(process: Process, directory: Path, grace_seconds: float) -> int:
    """End the whole group, by force after `grace_seconds`; the exit status. Also for one that has ended."""
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await process.wait()
    _signal(process.pid, signal.SIGKILL)
    status = await process.wait()
    (directory / MARK).unlink(missing_ok=True)
    return status


def stop_orphan(directory: Path, grace_seconds: float) -> bool:
    """End the process that a runner, dead by now, left in this job directory; whether there was one."""
    try:
        mark = json.loads((directory / MARK).read_text())
        pid, born = int(mark["pid"]), str(mark["birth"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if alive := birth(pid) == born:
        _signal(pid, signal.SIGTERM)
        if not _gone(pid, born, grace_seconds):
            _signal(pid, signal.SIGKILL)
            _gone(pid, born, grace_seconds=10)
    (directory / MARK).unlink(missing_ok=True)
    return alive


def birth(pid: int) -> str | None:
    """When the process began, as a word that no other process of this pid has; None where it is no more."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _birth_by_ps(pid)
    state, began = words[0], words[19]
    return None if state in "ZX" else f"{boot} {began}"


def _birth_by_ps(pid: int) -> str | None:
    """Where there is no /proc, as on macOS."""
    told = subprocess.run(  # noqa: S603 - a number that we formatted
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or None


def _mark(directory: Path, pid: int) -> None:
    """Written beside and renamed: a mark is whole or absent."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PGRP, pid, NICENESS)
    beside = directory / f"{MARK}.new"
    beside.write_text(json.dumps({"pid": pid, "birth": birth(pid)}))
    beside.replace(directory / MARK)


async def _open_gate(gate: StreamWriter) -> None:
    gate.write(b"go\n")
    with contextlib.suppress(ConnectionError):
        await gate.drain()
    gate.close()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _gone(pid: int, born: str, grace_seconds: float) -> bool:
    end = time.monotonic() + grace_seconds
    while birth(pid) == born:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
