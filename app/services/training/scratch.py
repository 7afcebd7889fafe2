"""Directories that last as long as the work in them, even where whoever works is killed."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.services.training.jsonl import locked
from app.services.training.processes import stop_orphan

log = logging.getLogger(__name__)

_GRACE_SECONDS = 2.0


class Scratch:
    """Below one directory, which several processes may share. Blocking; raises OSError.

    Whoever works holds the lock of their directory, and the system lets it go when they die: what nobody
    holds is left over.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()

    @contextmanager
    def place(self, prefix: str) -> Iterator[Path]:
        """A new directory, gone at the end."""
        with locked(self._directory):
            place = Path(tempfile.mkdtemp(dir=self._directory, prefix=f"{prefix}-"))
            held = locked(place)
            held.__enter__()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
            held.__exit__(None, None, None)

    def sweep(self) -> int:
        """Remove what the dead left, their processes ended first; how many directories."""
        if not self._directory.is_dir():
            return 0
        with locked(self._directory):
            return sum(_swept(place) for place in sorted(self._directory.iterdir()) if place.is_dir())


def _swept(place: Path) -> bool:
    try:
        with locked(place, seconds=0):
            if stop_orphan(place, _GRACE_SECONDS):
                log.warning("the process that a dead one left in %s was ended", place.name)
            shutil.rmtree(place, ignore_errors=True)
    except TimeoutError:
        return False  # somebody is at work
    return True
