"""From the collected records to datasets, and from a dataset to a script that trains on it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from app.errors import InvalidInput
from app.recipes.render import render
from app.services.training.collector import TrainingDataCollector
from app.services.training.datasets import (
    TASKS,
    DatasetOptions,
    Making,
    Parts,
    Progress,
    Row,
    Task,
    Unusable,
    split,
)
from app.services.training.datasets_hypotheses import add_hypotheses, add_preferences
from app.services.training.datasets_judged import add_facets, add_relevance
from app.services.training.orders import Order, recipe_named
from app.services.training.records import Records, read_records
from app.services.training.redact import alias
from app.services.training.scratch import Scratch
from app.services.training.shelves import FILES, DatasetShelf, lock_datasets

logger = logging.getLogger(__name__)

R = TypeVar("R")
_RECIPES = {"preferences": "dpo", "preferences_kto": "kto"}
"""By the name of a dataset; all others are for supervised fine-tuning."""
EVALUATIONS = "evaluations"
"""Below the collector's directory: what examinations write while they last."""
_STEP = 200
"""Records between two words of progress."""


class ModelTrainer:
    """Makes training datasets of what a TrainingDataCollector wrote.

    trainer = ModelTrainer(collector)
    datasets = await trainer.prepare_training_dataset()
    """

    def __init__(self, collector: TrainingDataCollector, directory: Path | None = None) -> None:
        """`directory`: where datasets are kept; beside the collector's files where None."""
        self._collector = collector
        self._shelf = DatasetShelf(directory or collector.directory / "datasets")
        self._evaluations = Scratch(collector.directory / EVALUATIONS)

    async def prepare_training_dataset(
        self,
        tenant: str = "default",
        tasks: Sequence[Task] = TASKS,
        *,
        shared: Sequence[str] = (),
        min_confidence: float | None = None,
        eval_share: float = 0.1,
        shots: int | None = None,
        output: Path | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Path]:
        """The file to learn from, by task; it may be empty, which is logged with the reasons.

        Beside each lie the held-out rows (`.eval.jsonl`), manifest.json and lineage.jsonl, and
        preferences_kto.jsonl beside preferences. `shared` names other tenants that have agreed to it.
        `min_confidence` is the collector's where None. `progress` is called from a thread.
        Raises InvalidInput, OSError.
        """
        sure = self._collector.min_confidence if min_confidence is None else min_confidence
        options = _checked(
            DatasetOptions(tenant, tuple(sorted(shared)), sure, eval_share, shots=shots), tasks
        )
        await self._collector.flush()
        shelf = self._shelf if output is None else DatasetShelf(output)
        return await asyncio.to_thread(self._prepare, options, tasks, shelf, progress or _silent)

    def generate_training_script(
        self,
        dataset_path: Path | str,
        model_name: str,
        output_model_path: Path | str,
        recipe: str | None = None,
        **options: Any,
    ) -> Path:
        """Write train_model.py and train_model.json beside the collector's files; the script's path.

        `python train_model.py` then trains without arguments. `recipe` is sft, dpo or kto, by the name of
        the dataset where None; `options` are the recipe's arguments (app/recipes/arguments.py). Held-out rows
        beside the dataset become the evaluation's. Raises InvalidInput: no dataset, an unknown or wrong
        option, an output path that is not empty.
        """
        dataset = Path(dataset_path)
        if not dataset.is_file():
            raise InvalidInput(f"there is no dataset {str(dataset)!r}; prepare_training_dataset makes one")
        chosen = recipe or _RECIPES.get(dataset.stem, "sft")
        script = self._collector.directory / "train_model.py"
        order = Order("", "", chosen, dataset, model_name, Path(output_model_path), options)
        return render(recipe_named(chosen).file, order.config(script.parent), script)

    async def erase(self, tenant: str, user_id: str) -> dict[str, int]:
        """Take a user's rows out of all datasets; how many by dataset. Erase from the collector first."""
        await asyncio.to_thread(self._evaluations.sweep)
        return await asyncio.to_thread(self._shelf.erase, tenant, alias(user_id))

    async def sweep(self) -> None:
        """Remove what killed processes left half done, so that no rows lie where no erasure looks."""
        await asyncio.to_thread(self._evaluations.sweep)
        await asyncio.to_thread(self._shelf.sweep)

    def _prepare(
        self, options: DatasetOptions, tasks: Sequence[Task], shelf: DatasetShelf, progress: Progress
    ) -> dict[str, Path]:
        with lock_datasets(shelf.directory):
            records = read_records(self._collector.directory, options.tenants)
            made = {task: _make(task, records, options, progress) for task in TASKS}
            parts = split([row for making in made.values() for row in making.rows], options.eval_share)
            found = {}
            for done, task in enumerate(tasks):
                progress("writing", done, len(tasks))
                told = _told(task, options, records, made[task], parts)
                directory = shelf.write(options.tenant, task, _only(task, parts), told)
                found[str(task)] = directory / f"{FILES[task][0]}.jsonl"
                if not told["rows"]["train"]:
                    logger.warning("no rows to train %s on: %s", task, told["note"])
            progress("writing", len(tasks), len(tasks))
        return found


def _make(task: Task, records: Records, options: DatasetOptions, progress: Progress) -> Making:
    made = Making()
    add: Callable[..., None]
    each: Iterable[Any]
    match task:
        case "hypotheses":
            add, each = add_hypotheses, records.asked.values()
        case "preferences":
            add, each = add_preferences, records.asked.values()
        case "ranking":
            add, each = add_relevance, records.ranked.values()
        case "persona_updates":
            add, each = partial(_add_facets, records), records.learned.values()
    each = list(each)
    for done, record in enumerate(each):
        if done % _STEP == 0:
            progress(task, done, len(each))
        try:
            add(record, options, made)
        except Unusable as reason:
            made.dropped[str(reason)] += 1
        except (KeyError, TypeError, ValueError, AttributeError):
            made.dropped["not of this form"] += 1
    progress(task, len(each), len(each))
    return made


def _add_facets(records: Records, learned: Any, options: DatasetOptions, made: Making) -> None:
    add_facets(learned, records, options, made)


def _only(task: Task, parts: Parts) -> Parts:
    def mine(rows: Iterable[Row]) -> tuple[Row, ...]:
        return tuple(row for row in rows if row.file in FILES[task])

    return Parts(mine(parts.train), mine(parts.held_out), mine(parts.by_heart))


def _told(
    task: Task, options: DatasetOptions, records: Records, made: Making, parts: Parts
) -> dict[str, Any]:
    """What the manifest says of how the rows came about."""
    kept = _only(task, parts)
    placed = {"train": len(kept.train), "held_out": len(kept.held_out), "by_heart": len(kept.by_heart)}
    rows = {"made": len(made.rows), **placed, "repeated": len(made.rows) - sum(placed.values())}
    return {
        "options": asdict(options),
        "prompt_version": options.prompt_version,
        "lines": dict(sorted(records.read.items())),
        "lines_dropped": dict(sorted(records.dropped.items())),
        "records_dropped": dict(sorted(made.dropped.items())),
        "rows": rows,
        "note": _note(made.dropped),
    }


def _note(dropped: Mapping[str, int]) -> str:
    told = ", ".join(f"{reason} ({count})" for reason, count in Counter(dropped).most_common())
    return f"left out: {told}" if told else "there are no records yet"


def _checked(options: DatasetOptions, tasks: Sequence[Task]) -> DatasetOptions:
    if unknown := sorted(set(tasks) - set(TASKS)):
        raise InvalidInput(f"unknown tasks {', '.join(unknown)}; known: {', '.join(TASKS)}")
    if not 0 <= options.eval_share <= 0.5:
        raise InvalidInput(f"eval_share must be 0 to 0.5, not {options.eval_share}")
    return options


def _silent(stage: str, done: int, total: int) -> None:
    """Nobody is watching."""
