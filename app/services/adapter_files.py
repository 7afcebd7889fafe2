"""Adapter directories: named after their content, whole or not there, never written a second time."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.errors import Conflict, InvalidInput
from app.services.adapter_facts import CONFIG, WEIGHTS, AdapterFacts, ServerLimits, inspect

FILES = (CONFIG, WEIGHTS)
"""What vLLM reads of an adapter; nothing else is taken over."""
_TASK = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
_CHUNK = 1 << 20
_DIGITS = 12


@dataclass(frozen=True, slots=True)
class Published:
    """An adapter that stands on the shelf."""

    name: str
    path: Path
    digest: str
    facts: AdapterFacts


class AdapterFiles:
    """The shelf. Its methods block: call them in a thread."""

    def __init__(self, shelf: Path, sources: Sequence[Path], limits: ServerLimits) -> None:
        """`shelf` is a directory that the servers can read; adapters come from inside of `sources` alone."""
        self._shelf = shelf.absolute()
        self._sources = [*(one.absolute() for one in sources), *(one.resolve() for one in sources)]
        self._limits = limits

    def publish(self, source: Path, task: str) -> Published:
        """Copy it to `<task>-<12 hex digits>`; the same content again is the same directory.

        What is judged is the copy: nobody can change it in between. Raises InvalidInput for what cannot be
        served or is not to be touched, Conflict where the directory holds something else, OSError.
        """
        if not _TASK.fullmatch(task):
            raise InvalidInput("a task is written in small letters, digits and _")
        self._check_place(source)
        _check_listing(source)
        self._shelf.mkdir(parents=True, exist_ok=True)
        arriving = Path(tempfile.mkdtemp(prefix=".arriving-", dir=self._shelf))
        try:
            for file in FILES:
                _copy(source / file, arriving / file)
            facts = inspect(arriving, self._limits)
            digest = digest_of(arriving)
            place = self._shelf / f"{task}-{digest[:_DIGITS]}"
            _settle(arriving, place, digest)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        return Published(place.name, place, digest, facts)

    def inspect(self, directory: Path) -> AdapterFacts:
        """Raises InvalidInput."""
        self._check_place(directory)
        _check_listing(directory)
        return inspect(directory, self._limits)

    def _check_place(self, source: Path) -> None:
        """Not by `..` nor over a symlink out of where adapters come from."""
        if "\0" in str(source) or ".." in source.parts:
            raise InvalidInput("a path with .. or a zero byte in it")
        root = next((root for root in self._sources if source.absolute().is_relative_to(root)), None)
        if root is None:
            raise InvalidInput("adapters are taken from the directories of training and of adapters alone")
        for path in [root / part for part in _prefixes(source.absolute().relative_to(root))]:
            if _is_symlink(path):
                raise InvalidInput(f"{path.name!r} is a symlink: name the directory itself")


def digest_of(directory: Path) -> str:
    """SHA-256 over name, size and bytes of each file that vLLM reads, hex."""
    total = hashlib.sha256()
    for name in FILES:
        path = directory / name
        total.update(f"{name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                total.update(chunk)
    return total.hexdigest()


def _is_symlink(path: Path) -> bool:
    """Raises InvalidInput for a name that no system can look up, such as one that is too long."""
    try:
        return path.is_symlink()
    except OSError as error:
        raise InvalidInput(f"{path.name[:40]!r} cannot be looked up: {error.strerror}") from error


def _prefixes(path: Path) -> list[Path]:
    return [Path(*path.parts[: length + 1]) for length in range(len(path.parts))]


def _check_listing(source: Path) -> None:
    try:
        entries = sorted(os.scandir(source), key=lambda entry: entry.name)
    except OSError as error:
        raise InvalidInput(f"there is no directory {source.name!r} that can be read") from error
    for entry in entries:
        if entry.is_symlink():
            raise InvalidInput(f"{entry.name!r} is a symlink: put the file itself there")
        if Path(entry.name).suffix.lower() in _PICKLES:
            raise InvalidInput(f"{entry.name!r} may be a pickle, which runs code when it is read: remove it")
    if missing := sorted(set(FILES) - {entry.name for entry in entries}):
        raise InvalidInput(f"{missing[0]} is missing in {source.name!r}")


def _copy(source: Path, target: Path) -> None:
    """The bytes of a plain file, on the disk when this returns."""
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise InvalidInput(f"{source.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InvalidInput(f"{source.name} is not a plain file")
    with os.fdopen(descriptor, "rb") as file, target.open("xb") as copy:
        shutil.copyfileobj(file, copy, _CHUNK)
        copy.flush()
        os.fsync(copy.fileno())
    target.chmod(0o444)


def _settle(arriving: Path, place: Path, digest: str) -> None:
    """Rename is all or nothing, and refused by the system where something stands there."""
    arriving.chmod(0o755)
    _sync(arriving)
    try:
        arriving.rename(place)
    except OSError:
        if not place.is_dir() or place.is_symlink() or not _holds(place, digest):
            raise Conflict(f"{place.name} stands there with another content") from None
    _sync(place.parent)


def _holds(place: Path, digest: str) -> bool:
    try:
        return digest_of(place) == digest
    except OSError:
        return False


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
