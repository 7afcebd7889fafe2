"""Whose records a training run read: noted when it begins, asked again when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from app.errors import Conflict
from app.models import TrainingJob
from app.services.training.shelves import LINEAGE, MANIFEST, read_lines

NOTE = "lineage.json"
CARD = "card.json"
UNKNOWN = "unknown"
"""The dataset of an adapter that nobody can tell the users of."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """What an adapter was made of."""

    told: Mapping[str, Any]
    """Job, recipe, base model, dataset and the digest of its manifest."""
    users: tuple[str, ...]
    """Of the job's tenant, as the training files write them."""


def note_lineage(dataset: Path, directory: Path) -> None:
    """Keep in a job's directory what its dataset is made of now; nothing for a file without a manifest."""
    manifest = _manifest(dataset)
    if manifest is None:
        return
    rows = read_lines(dataset.with_name(LINEAGE))
    users = sorted({(tenant, user) for row in rows for tenant, user in row["users"]})
    note = {"digest": manifest["digest"], "erased": manifest["erased"], "users": users}
    (directory / NOTE).write_bytes(orjson.dumps(note))


def lineage_of(job: TrainingJob) -> Lineage:
    """Conflict where somebody was erased from the dataset since the run began: it must not be used."""
    told = {"job": job.id, "recipe": job.recipe, "model": job.config["model_name"]}
    try:
        note = orjson.loads((Path(job.directory) / NOTE).read_bytes())
    except FileNotFoundError:
        return Lineage(told, ())
    dataset = Path(job.config["dataset"])
    manifest = _manifest(dataset)
    if manifest is None or manifest["erased"] != note["erased"]:
        raise Conflict("somebody was erased from its dataset while it was trained; train again")
    users = tuple(user for tenant, user in note["users"] if tenant == job.tenant)
    return Lineage({**told, "dataset": dataset.parent.name, "dataset_digest": note["digest"]}, users)


def lineage_beside(adapter: Path, datasets: Path, tenant: str) -> Lineage:
    """Of an adapter that no job of ours left: by the dataset of this tenant's that its card names.

    Its dataset is UNKNOWN without such a card. Conflict where rows were erased from the dataset since.
    """
    card = {"manifest_id": None, "dataset_sha256": None, **(_json(adapter / CARD) or {})}
    dataset = next((place for place in datasets.glob("*-*") if place.name == card["manifest_id"]), None)
    manifest = _json(dataset / MANIFEST) if dataset else None
    if dataset is None or manifest is None or manifest["tenant"] != tenant:
        return Lineage({"dataset": UNKNOWN}, ())
    if card["dataset_sha256"] not in {file["sha256"] for file in manifest["files"].values()}:
        raise Conflict("somebody was erased from its dataset since it was trained; train again")
    read = read_lines(dataset / LINEAGE)
    users = sorted({user for row in read for of, user in row["users"] if of == tenant})
    return Lineage({"dataset": dataset.name, "dataset_digest": manifest["digest"]}, tuple(users))


def _manifest(dataset: Path) -> dict[str, Any] | None:
    return _json(dataset.parent / MANIFEST)


def _json(path: Path) -> dict[str, Any] | None:
    """None where there is no such file, or it holds something else."""
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
