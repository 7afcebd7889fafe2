"""Held-out rows that a model was not trained on, whenever that was and however rows were split then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.services.training.datasets import row_id
from app.services.training.jsonl import to_line
from app.services.training.shelves import LINEAGE, read_lines

HELD_OUT = ".eval.jsonl"


@dataclass(frozen=True, slots=True)
class Learned:
    """What the datasets of some training runs were made of."""

    rows: frozenset[str]
    records: frozenset[str]


def learned_from(datasets: Iterable[Path]) -> Learned:
    """By directory of a dataset; what it held out is not learned from."""
    rows: set[str] = set()
    records: set[str] = set()
    for directory in datasets:
        files = [path for path in directory.glob("*.jsonl") if path.name != LINEAGE]
        mine = {row_id(row) for path in files if not path.name.endswith(HELD_OUT) for row in read_lines(path)}
        rows |= mine
        for origin in read_lines(directory / LINEAGE):
            if origin["row"] in mine:
                records.update(origin["records"])
    return Learned(frozenset(rows), frozenset(records))


def unseen(held_out: Sequence[Path], learned: Learned, directory: Path) -> list[Path]:
    """Copies of these files in `directory`, each with its lineage, without what was learned from."""
    return [_copy(path, learned, directory / str(place)) for place, path in enumerate(held_out)]


def _copy(path: Path, learned: Learned, into: Path) -> Path:
    origins = read_lines(path.with_name(LINEAGE))
    told = {one["row"] for one in origins if learned.records.intersection(one["records"])}
    kept = [row for row in read_lines(path) if row_id(row) not in learned.rows | told]
    into.mkdir()
    (into / path.name).write_bytes(b"".join(map(to_line, kept)))
    (into / LINEAGE).write_bytes(b"".join(map(to_line, origins)))
    return into / path.name
