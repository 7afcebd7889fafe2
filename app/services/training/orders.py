"""What a training job is told: recipe, rows and figures, checked before it is queued."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.errors import InvalidInput
from app.models import TrainingJob
from app.recipes.arguments import PreferenceArguments, SftArguments, TrainingArguments, parse
from app.services.training.datasets import Task
from app.services.training.shelves import MANIFEST

OURS = frozenset(
    {
        "adapter",
        "base_name",
        "dataset",
        "eval_dataset",
        "job_dir",
        "manifest_id",
        "method",
        "model_name",
        "output",
        "resume",
        "threads",
    }
)
"""Arguments of a recipe that are no options: paths, and what the service decides itself."""
_PARTS = {"dataset": 2, "eval_dataset": 2, "output": 1}
"""Of paths in a configuration, by how many last parts a caller knows them."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A way to train: the file that does it, what it takes, and the dataset made for it."""

    file: Literal["sft", "preference"]
    arguments: type[TrainingArguments]
    dataset: Task
    fixed: Mapping[str, Any] = field(default_factory=dict)


RECIPES: Mapping[str, Recipe] = {
    "sft": Recipe("sft", SftArguments, "hypotheses"),
    "dpo": Recipe("preference", PreferenceArguments, "preferences", {"method": "dpo"}),
    "kto": Recipe("preference", PreferenceArguments, "preferences", {"method": "kto"}),
}


@dataclass(frozen=True, slots=True)
class Order:
    """A training run that somebody wants."""

    tenant: str
    task: str
    recipe: str
    dataset: Path
    model: str
    output: Path | None = None
    """None: a directory of the job's own."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Other arguments of the recipe: epochs, learning_rate, rank and so on."""

    def config(self, job_directory: Path) -> dict[str, Any]:
        """The recipe's arguments, checked by the recipe's own rules. Raises InvalidInput."""
        recipe = recipe_named(self.recipe)
        if ours := sorted(OURS & self.options.keys()):
            raise InvalidInput(f"{', '.join(ours)} cannot be given as an option")
        config = {
            **self.options,
            **recipe.fixed,
            "dataset": str(self.dataset.absolute()),
            "model_name": self.model,
            "output": str((self.output or job_directory / "output").absolute()),
            **_held_out(self.dataset),
            **_manifest_id(self.dataset),
        }
        parse(recipe.arguments, config)
        return config


def recipe_named(name: str) -> Recipe:
    """InvalidInput for one that there is not."""
    try:
        return RECIPES[name]
    except KeyError:
        raise InvalidInput(f"recipe must be one of {', '.join(RECIPES)}") from None


def named_config(job: TrainingJob) -> dict[str, Any]:
    """Its configuration for callers: directories of the server are not theirs to know, names are."""
    paths = {name: Path(str(job.config[name])) for name in _PARTS if job.config.get(name)}
    return {**job.config, **{name: "/".join(path.parts[-_PARTS[name] :]) for name, path in paths.items()}}


def _manifest_id(dataset: Path) -> dict[str, str]:
    """The name of the dataset's directory, which is made of its content."""
    beside = dataset.absolute().parent
    return {"manifest_id": beside.name} if (beside / MANIFEST).exists() else {}


def _held_out(dataset: Path) -> dict[str, str]:
    """The rows beside a dataset that are kept for evaluation, where there are any."""
    beside = dataset.with_suffix(".eval.jsonl")
    return {"eval_dataset": str(beside.absolute())} if beside.exists() and beside.stat().st_size else {}
