"""A directory of JSON-lines files that several processes append to and a crash cannot spoil.

Every write happens under one lock and on a file opened for it: a rewrite that renames never leaves
another process appending to the file that was. A line without its newline, seen under the lock, is
what a killed writer left; it is cut off before anything else is written.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import orjson

logger = logging.getLogger(__name__)

LOCK_SECONDS = 10.0
"""How long another process may hold the lock before an append gives up with TimeoutError."""
_TAIL = 1 << 16


class JsonlDirectory:
    """The named files of one directory. Blocking: call it from a thread."""

    def __init__(self, directory: Path, names: Sequence[str], lock_seconds: float = LOCK_SECONDS) -> None:
        self.directory = directory
        self.names = tuple(names)
        self._lock_seconds = lock_seconds
        self.healed = 0
        """Torn lines cut off so far by this object."""

    def heal(self) -> None:
        """Cut torn last lines off, drop half a rewrite; makes the directory. Raises OSError."""
        with locked(self.directory, self._lock_seconds):
            for name in self.names:
                self._temporary(name).unlink(missing_ok=True)
                self._heal(name)

    def append(self, name: str, content: bytes) -> None:
        """Whole lines behind a file's last: all of them or, where OSError is raised, none."""
        with locked(self.directory, self._lock_seconds), self._opened(name) as descriptor:
            _write_whole(descriptor, content)

    def erase(self, doomed: Callable[[Mapping[str, Any]], bool]) -> dict[str, int]:
        """Rewrite each file without the lines that `doomed` names; how many by file."""
        with locked(self.directory, self._lock_seconds):
            return {name: count for name in self.names if (count := self._erase_from(name, doomed))}

    def replace(
        self,
        lines: Mapping[str, Iterable[Mapping[str, Any]]],
        kept: Callable[[Mapping[str, Any]], bool] = lambda _: False,
    ) -> dict[str, int]:
        """Write each file anew, behind those of its lines that are kept; how many it has now."""
        with locked(self.directory, self._lock_seconds):
            return {
                name: self._rewrite(name, chain(filter(kept, self.read(name)), objects))
                for name, objects in lines.items()
            }

    def read(self, name: str) -> Iterator[dict[str, Any]]:
        """The whole lines of a file. One that is no JSON is nobody's record and left out."""
        if self._path(name).exists():
            with self._path(name).open("rb") as file:
                yield from filter(None, map(_parse, file))

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Lines and bytes of each file."""
        return {name: _size(self._path(name)) for name in self.names}

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _temporary(self, name: str) -> Path:
        return self.directory / f"{name}.new"

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self._path(name), flags, 0o600)
        try:
            if torn := _cut_torn_line(descriptor):
                self.healed += 1
                logger.warning("%s: cut off a torn last line of %d bytes", name, torn)
            yield descriptor
        finally:
            os.close(descriptor)

    def _heal(self, name: str) -> None:
        if self._path(name).exists():
            with self._opened(name):
                pass

    def _erase_from(self, name: str, doomed: Callable[[Mapping[str, Any]], bool]) -> int:
        self._temporary(name).unlink(missing_ok=True)  # what a killed writer left holds text as well
        self._heal(name)
        erased = sum(map(doomed, self.read(name)))
        if erased:
            self._rewrite(name, (line for line in self.read(name) if not doomed(line)))
        return erased

    def _rewrite(self, name: str, objects: Iterable[Mapping[str, Any]]) -> int:
        """Through a file beside it: a reader sees the old or the new, and a crash leaves one whole."""
        temporary = self._temporary(name)
        count = 0
        with temporary.open("wb") as file:
            for line in objects:
                file.write(to_line(line))
                count += 1
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path(name))
        sync_directory(self.directory)
        return count


@contextmanager
def locked(directory: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Alone among the processes that write to this directory, which is made; OSError once it is late."""
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(descriptor, seconds)
        yield
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """What was renamed in it stays renamed, whatever happens to the machine."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_line(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _lock(descriptor: int, seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise TimeoutError("another process holds the lock of the training directory") from None
            time.sleep(0.005)
        else:
            return


def _cut_torn_line(descriptor: int) -> int:
    """Truncate to just behind the last newline; the number of bytes cut."""
    size = end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - _TAIL)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end < size:
        os.ftruncate(descriptor, end)
    return size - end


def _write_whole(descriptor: int, content: bytes) -> None:
    """One write; where the disk took a part of it, that part goes again."""
    before = os.fstat(descriptor).st_size
    try:
        written = os.write(descriptor, content)
    except OSError:
        os.ftruncate(descriptor, before)
        raise
    if written < len(content):
        os.ftruncate(descriptor, before)
        raise OSError(f"the disk took {written} of {len(content)} bytes")


def _size(path: Path) -> tuple[int, int]:
    if not path.exists():
        return 0, 0
    lines = size = 0
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            lines += block.count(b"\n")
            size += len(block)
    return lines, size
