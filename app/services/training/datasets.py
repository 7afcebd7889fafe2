"""What a row is; how rows are made distinct, and which are learned from and which are held out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import orjson

from app.services.training.records import Mark, User
from app.services.training.serving import PROMPT_VERSION, Messages, with_shots
from app.text import stems

Task = Literal["hypotheses", "persona_updates", "ranking", "preferences"]
TASKS: tuple[Task, ...] = ("hypotheses", "persona_updates", "ranking", "preferences")
Progress = Callable[[str, int, int], None]
"""Told what is done, how much of it, and of how much; called from a thread."""


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """By what the rows are chosen; part of a dataset's identity."""

    tenant: str = "default"
    shared: tuple[str, ...] = ()
    """Other tenants whose admin has opted in to share their records."""
    min_confidence: float = 0.7
    """Labels less sure are left out, 0..1."""
    eval_share: float = 0.1
    """Share of the users, and of the newest requests of the others, that is held out, 0..1."""
    prompt_version: str = PROMPT_VERSION
    """Prompts of another wording are left out."""
    shots: int | None = None
    """At most so many examples stay in a prompt; None: as recorded."""
    max_weight: float = 4.0
    """The inverse propensity of a slate is clipped here."""

    @property
    def tenants(self) -> frozenset[str]:
        return frozenset((self.tenant, *self.shared))


@dataclass(frozen=True)
class Row:
    """One row of a file, with where it came from."""

    file: str
    """`hypotheses`, `persona_updates`, `ranking`, `preferences` or `preferences_kto`."""
    columns: Mapping[str, Any]
    """What TRL reads."""
    users: tuple[User, ...]
    text: str
    """The request."""
    time: datetime
    """When it was asked."""
    records: tuple[str, ...]
    weight: float = 1.0

    @cached_property
    def id(self) -> str:
        return row_id(self.columns)

    @cached_property
    def likeness(self) -> str:
        """Equal for requests that say the same in other order, case or endings."""
        return " ".join(sorted(set(stems(self.text)))) or " ".join(self.text.casefold().split())

    @property
    def line(self) -> dict[str, Any]:
        return {**self.columns, "weight": round(self.weight, 4)}


@dataclass(slots=True)
class Making:
    """Rows made so far, and the records that made none, by reason."""

    rows: list[Row] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows to learn from, rows held out, and rows in neither: held out, but asked the same in train."""

    train: tuple[Row, ...] = ()
    held_out: tuple[Row, ...] = ()
    by_heart: tuple[Row, ...] = ()


class Unusable(Exception):
    """A record that makes no row; the message is the reason, as the manifest counts it."""


def sure(mark: Mark, options: DatasetOptions) -> bool:
    return mark.confidence >= options.min_confidence


def recorded_prompt(messages: object, version: object, options: DatasetOptions) -> Messages | None:
    """As recorded; None where none was. Raises Unusable."""
    if not messages:
        return None
    if version not in ("", options.prompt_version):
        raise Unusable("prompt of another version")
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise Unusable("prompt of another form")
    plain = tuple({"role": message["role"], "content": message["content"]} for message in messages)
    return with_shots(plain, options.shots)


def row_id(columns: Mapping[str, Any]) -> str:
    """16 hex digits of the SHA-256 of a row without its weight: the same content is the same row."""
    told = {name: value for name, value in columns.items() if name != "weight"}
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def split(rows: Sequence[Row], eval_share: float) -> Parts:
    """Held out are whole users, by a hash of their id, and the newest requests of the others.

    So nothing that is held out is older than what its user is trained on, unless nothing of that user is
    trained on. A request that says the same as one in train is in neither: it would be known by heart.
    Rows of all files are split at once, so that what one file holds out another does not train on.
    """
    strangers = {user for row in rows for user in row.users if _is_held_out(user, eval_share)}
    known = [row for row in rows if not strangers.intersection(row.users)]
    if not known:
        strangers, known = set(), list(rows)
    cut = _cut(known, eval_share)
    train = [row for row in known if cut is None or row.time < cut]
    learned = {row.likeness for row in train}
    others = [row for row in rows if strangers.intersection(row.users) or (cut and row.time >= cut)]
    fresh = [row for row in others if row.likeness not in learned]
    by_heart = tuple(row for row in others if row.likeness in learned)
    return Parts(distinct(train), distinct(fresh), by_heart)


def distinct(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Each row once, the first by time, with the records and users of all; in the order of time."""
    kept: dict[tuple[str, str], Row] = {}
    for row in sorted(rows, key=lambda row: (row.time, row.file, row.id, row.records)):
        first = kept.get((row.file, row.id))
        kept[row.file, row.id] = row if first is None else _merged(first, row)
    return tuple(kept.values())


def _merged(first: Row, again: Row) -> Row:
    return replace(
        first,
        users=tuple(sorted({*first.users, *again.users})),
        records=tuple(sorted({*first.records, *again.records})),
    )


def _is_held_out(user: User, share: float) -> bool:
    digest = hashlib.sha256("\x1f".join(("held out", *user)).encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8]) / 2**64 < share


def _cut(rows: Sequence[Row], share: float) -> datetime | None:
    """From when on requests are held out; None where the share is less than one request."""
    times = sorted(time for time, _ in {(row.time, row.likeness) for row in rows})
    late = int(len(times) * share)
    if not late:
        return None
    return next((time for time in times if time > times[-late - 1]), None)


def _is_message(message: object) -> bool:
    return isinstance(message, dict) and all(isinstance(message.get(key), str) for key in ("role", "content"))
