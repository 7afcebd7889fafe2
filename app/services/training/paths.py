"""Paths that callers name, kept inside the directory that is theirs."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePath

from app.errors import InvalidInput

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def confined(said: str, root: Path, what: str) -> Path:
    """`said` as a path inside `root`, links followed; InvalidInput for one that leads elsewhere.

    A relative path begins at `root`. `what` names the path in the error.
    """
    if not said.isprintable() or ".." in PurePath(said).parts:
        raise InvalidInput(f"{what} must be a plain path without '..'")
    try:
        home = root.resolve()
        path = (home / said).resolve()
    except (OSError, RuntimeError) as error:
        raise InvalidInput(f"{what} cannot be followed: {error}") from error
    if path == home or not path.is_relative_to(home):
        raise InvalidInput(f"{what} must lie inside its own directory")
    return path


def existing_file(said: str, root: Path, what: str) -> Path:
    """The same for a file that is there."""
    path = confined(said, root, what)
    try:
        found = path.is_file()
    except OSError:
        found = False
    if not found:
        raise InvalidInput(f"{what}: there is no such file")
    return path


def free_directory(path: Path, what: str) -> Path:
    """`path`, if nothing is there or an empty directory; InvalidInput else: nothing is overwritten."""
    try:
        taken = path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir())))
    except OSError as error:
        raise InvalidInput(f"{what} cannot be used: {error.strerror}") from error
    if taken:
        raise InvalidInput(f"{what} is taken; name another, nothing is overwritten")
    return path


def folder_of(tenant: str) -> str:
    """A name for a tenant's directory: the tenant's own where it is plain, else a digest of it."""
    if _PLAIN.fullmatch(tenant):
        return tenant
    return hashlib.sha256(tenant.encode("utf-8", "surrogateescape")).hexdigest()[:32] + ".tenant"
