"""Datasets on disk: directories named after what they hold, written whole or not at all.

In `<tenant>-<task>-<12 hex digits>/` lie `<name>.jsonl` to learn from, `<name>.eval.jsonl` held out,
`lineage.jsonl` (which records and users a row came from) and `manifest.json`. The same records and options
give the same name. Nothing is changed in a directory but by the erasure of a user.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import orjson

from app.services.training.datasets import Parts, Row, Task, row_id
from app.services.training.jsonl import locked, sync_directory, to_line

MANIFEST, LINEAGE = "manifest.json", "lineage.jsonl"
_LOCK_SECONDS = 120.0
"""Making datasets of a large history takes so long at most."""
_DRAFT = ".draft-"
_PLAIN = re.compile(r"[A-Za-z0-9_]{1,64}")

FILES: Mapping[Task, tuple[str, ...]] = {
    "hypotheses": ("hypotheses",),
    "persona_updates": ("persona_updates",),
    "ranking": ("ranking",),
    "preferences": ("preferences", "preferences_kto"),
}
"""The first is the one that `prepare_training_dataset` names."""


class DatasetShelf:
    """All datasets below one directory. Blocking: call it from a thread. Raises OSError."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, tenant: str, task: Task, parts: Parts, told: Mapping[str, Any]) -> Path:
        """The directory that holds just this, new or as it was; `told` goes into the manifest."""
        contents = dict(_contents(task, parts))
        manifest = _manifest(tenant, task, contents, parts, told)
        target = self.directory / f"{_slug(tenant)}-{task}-{manifest['digest'][:12]}"
        if not target.exists():
            self._place(target, {**contents, MANIFEST: _json(manifest)})
        return target

    def erase(self, tenant: str, user: str) -> dict[str, int]:
        """Take the rows of a user, as the files write the id, out of every dataset; how many by directory.

        A row that others said as well stays, without the user's records.
        """
        if not self.directory.is_dir():
            return {}
        with locked(self.directory, _LOCK_SECONDS):
            self._sweep()
            found = {path.parent: _erase(path.parent, (tenant, user)) for path in self.manifests()}
            return {directory.name: count for directory, count in found.items() if count}

    def sweep(self) -> None:
        """Remove drafts that were never finished, unless somebody is at work."""
        if self.directory.is_dir():
            with suppress(TimeoutError), locked(self.directory, 0):
                self._sweep()

    def manifests(self) -> list[Path]:
        return sorted(self.directory.glob(f"*-*/{MANIFEST}"))

    def _sweep(self) -> None:
        """Under the lock: then nobody is at work, and no draft will be finished."""
        for draft in self.directory.glob(f"{_DRAFT}*"):
            shutil.rmtree(draft, ignore_errors=True)
        for half in self.directory.glob("*-*/*.new"):
            half.unlink()

    def _place(self, target: Path, contents: Mapping[str, bytes]) -> None:
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=self.directory))
        try:
            for name, content in contents.items():
                _write(draft / name, content)
            draft.chmod(0o700)
            draft.rename(target)
            sync_directory(self.directory)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def lock_datasets(directory: Path) -> AbstractContextManager[None]:
    """Held while datasets are made from the files, so that nobody is erased in between."""
    return locked(directory, _LOCK_SECONDS)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def _contents(task: Task, parts: Parts) -> Iterator[tuple[str, bytes]]:
    for name in FILES[task]:
        for suffix, rows in (("jsonl", parts.train), ("eval.jsonl", parts.held_out)):
            mine = (row.line for row in rows if row.file == name)
            yield f"{name}.{suffix}", b"".join(map(to_line, mine))
    told = (row for row in (*parts.train, *parts.held_out) if row.file in FILES[task])
    yield LINEAGE, b"".join(to_line(_origin(row)) for row in told)


def _origin(row: Row) -> dict[str, Any]:
    return {"file": row.file, "row": row.id, "records": list(row.records), "users": list(row.users)}


def _manifest(
    tenant: str, task: Task, contents: Mapping[str, bytes], parts: Parts, told: Mapping[str, Any]
) -> dict[str, Any]:
    files = {name: _file(content) for name, content in contents.items()}
    times = [row.time.isoformat() for row in (*parts.train, *parts.held_out) if row.file in FILES[task]]
    identity = {"tenant": tenant, "task": task, "files": files, "options": told["options"]}
    return {
        **identity,
        "digest": hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        "from": min(times, default=None),
        "to": max(times, default=None),
        **told,
        "erased": 0,
    }


def _file(content: bytes) -> dict[str, Any]:
    return {"rows": content.count(b"\n"), "sha256": hashlib.sha256(content).hexdigest()}


def _erase(directory: Path, user: tuple[str, str]) -> int:
    """Data first, lineage after it, the manifest last: where it is cut short, it can be done again."""
    lineage = read_lines(directory / LINEAGE)
    about = [one for one in lineage if list(user) in one["users"]]
    if not about:
        return 0
    doomed = {(one["file"], one["row"]) for one in about if len(one["users"]) == 1}
    manifest = orjson.loads((directory / MANIFEST).read_bytes())
    for name in manifest["files"]:
        if name != LINEAGE:
            kept = [
                row
                for row in read_lines(directory / name)
                if (name.partition(".")[0], row_id(row)) not in doomed
            ]
            _rewrite(directory / name, map(to_line, kept))
    left = [_without(one, user) for one in lineage if (one["file"], one["row"]) not in doomed]
    _rewrite(directory / LINEAGE, map(to_line, left))
    files = {name: _file((directory / name).read_bytes()) for name in manifest["files"]}
    erased = manifest["erased"] + len(about)
    _rewrite(directory / MANIFEST, [_json({**manifest, "files": files, "erased": erased})])
    return len(about)


def _without(origin: dict[str, Any], user: tuple[str, str]) -> dict[str, Any]:
    """The row's origin but for one user. Its records are no longer told apart, so none is named."""
    if list(user) not in origin["users"]:
        return origin
    return {**origin, "records": [], "users": [one for one in origin["users"] if one != list(user)]}


def _rewrite(path: Path, lines: Iterable[bytes]) -> None:
    beside = path.with_name(f"{path.name}.new")
    _write(beside, b"".join(lines))
    beside.replace(path)
    sync_directory(path.parent)


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _json(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _slug(tenant: str) -> str:
    """The tenant where it is a plain name; else a digest: a path is never made of what a caller wrote."""
    if _PLAIN.fullmatch(tenant):
        return tenant
    return "t" + hashlib.sha256(tenant.encode("utf-8", "replace")).hexdigest()[:12]
