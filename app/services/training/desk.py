"""Where both doors ask for training: datasets from the records, and jobs from a caller's words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from app.errors import InvalidInput, StorageError
from app.models import TrainingJob
from app.services.training.collector import TrainingDataCollector
from app.services.training.datasets import TASKS, Progress, Task
from app.services.training.exporting import export
from app.services.training.jobs import TrainingJobs
from app.services.training.lines import FILES
from app.services.training.orders import Order, recipe_named
from app.services.training.paths import confined, existing_file, folder_of
from app.services.training.records import Records, read_records
from app.services.training.scratch import Scratch
from app.services.training.shelves import FILES as SHELVED
from app.services.training.shelves import MANIFEST
from app.services.training.trainer import EVALUATIONS, ModelTrainer
from app.storage.base import Store

_FILES = {"kto": "preferences_kto.jsonl"}
"""Recipes that do not read the first file of their dataset."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rows to learn from, and the manifest that says how they came about."""

    task: str
    path: Path
    manifest: Mapping[str, Any]

    @property
    def name(self) -> str:
        """What a caller may give back as `dataset`: directory and file below the datasets' own."""
        return f"{self.path.parent.name}/{self.path.name}"


class TrainingDesk:
    """What callers name is confined: datasets to their tenant's, outputs to a directory of the tenant's."""

    def __init__(
        self,
        store: Store,
        collector: TrainingDataCollector,
        trainer: ModelTrainer,
        jobs: TrainingJobs,
        outputs: Path,
        models: Sequence[str],
    ) -> None:
        """`models`: the base models that callers may train; the first where they name none."""
        self._store, self._collector, self._trainer = store, collector, trainer
        self.jobs = jobs
        self.scratch = Scratch(collector.directory / EVALUATIONS)
        self._datasets, self._outputs = collector.directory / "datasets", outputs
        self._models = models

    async def prepare(
        self,
        tenant: str,
        tasks: Sequence[Task] = TASKS,
        output: Path | None = None,
        progress: Progress | None = None,
    ) -> list[Dataset]:
        """Datasets of this tenant's records as they are now; from the database where no files are kept.

        Raises InvalidInput; StorageError where the disk does not take them.
        """
        try:
            if not self._collector.enabled:
                await export(self._store, self._collector, self._collector.directory, tenant)
            paths = await self._trainer.prepare_training_dataset(
                tenant, tasks, output=output, progress=progress
            )
            return [await asyncio.to_thread(_dataset, task, path) for task, path in paths.items()]
        except OSError as error:
            raise StorageError(f"the datasets cannot be written: {error}") from error

    async def order(
        self,
        tenant: str,
        recipe: str,
        *,
        task: str = "hypotheses",
        dataset: str | None = None,
        model: str | None = None,
        output: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> TrainingJob:
        """Queue a job as a caller asks for it; a dataset is made where none is named.

        Raises InvalidInput: a path that leads elsewhere, a model not allowed, no rows, a wrong option.
        """
        if task != "hypotheses":
            raise InvalidInput("task must be hypotheses: other tasks have no recipe")
        if model is not None and model not in self._models:
            raise InvalidInput(f"model must be one of {', '.join(self._models)}")
        place = confined(output, self._outputs / folder_of(tenant), "output") if output else None
        if dataset is None:
            path = await self.dataset_for(tenant, recipe)
        else:
            path = await asyncio.to_thread(self._own_dataset, tenant, dataset)
        return await self.jobs.add(
            Order(tenant, task, recipe, path, model or self._models[0], place, options or {})
        )

    async def dataset_for(
        self, tenant: str, recipe: str, output: Path | None = None, progress: Progress | None = None
    ) -> Path:
        """The file that `recipe` learns from, made now. InvalidInput where it holds no rows."""
        wanted = recipe_named(recipe).dataset
        (made,) = await self.prepare(tenant, [wanted], output, progress)
        path = made.path.with_name(_FILES.get(recipe, made.path.name))
        if not path.stat().st_size:
            raise InvalidInput(f"there are no rows to train on: {made.manifest['note']}")
        return path

    async def stats(self, tenant: str) -> dict[str, Any]:
        """Lines by file, labels by kind, datasets, and the job that runs; of this tenant alone."""
        records = await asyncio.to_thread(read_records, self._collector.directory, (tenant,))
        running = await self.jobs.running(tenant)
        return {
            "collecting": self._collector.enabled,
            "records": {name: records.read[name] for name in FILES},
            "labels": _labels(records),
            "datasets": await asyncio.to_thread(self._own_datasets, tenant),
            "running": running,
        }

    def _own_dataset(self, tenant: str, said: str) -> Path:
        """Held-out rows lie beside those to learn from, and are nobody's to learn from."""
        path = existing_file(said, self._datasets, "dataset")
        manifest = _manifest(path.parent)
        learnable = [f"{name}.jsonl" for name in SHELVED.get(manifest.get("task", ""), ())]
        if manifest.get("tenant") != tenant or path.name not in learnable:
            raise InvalidInput("dataset: there is no such file")
        return path

    def _own_datasets(self, tenant: str) -> list[dict[str, Any]]:
        found = [(path.parent.name, _manifest(path.parent)) for path in self._datasets.glob(f"*/{MANIFEST}")]
        return [
            {"name": name, "task": manifest["task"], "rows": manifest["rows"]}
            for name, manifest in sorted(found)
            if manifest.get("tenant") == tenant
        ]


def _dataset(task: str, path: Path) -> Dataset:
    return Dataset(task, path, _manifest(path.parent))


def _manifest(directory: Path) -> dict[str, Any]:
    """{} where the directory holds none."""
    try:
        found = orjson.loads((directory / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _labels(records: Records) -> dict[str, int]:
    asked, ranked = records.asked.values(), records.ranked.values()
    return {
        "picked": sum(len(one.picks) for one in asked),
        "undone": sum(len(one.undone) for one in asked),
        "judged": sum(len(one.judged) for one in asked),
        "ranked": sum(len(one.judged) for one in ranked),
        "choices": len(records.choices),
        "facets": sum(len(one.facets) for one in records.learned.values()),
    }
