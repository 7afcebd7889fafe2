"""The training rooms put together: what makes datasets, what queues jobs, what runs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.config import Settings
from app.models import TrainingJob
from app.recipes.render import render
from app.services.background import Background
from app.services.candidates import Candidates
from app.services.training import ModelTrainer, TrainingDataCollector
from app.services.training.desk import TrainingDesk
from app.services.training.endings import HandedOver
from app.services.training.jobs import TrainingJobs
from app.services.training.orders import recipe_named
from app.services.training.runner import JobRunner
from app.storage.base import Store
from app.wiring_adapters import (
    AdapterRooms,
    jobs_directory,
    trainable_models,
    trained_directory,
    training_interpreter,
)

SCRIPT = "train_model.py"


@dataclass(frozen=True, slots=True)
class TrainingRooms:
    """What Services takes over."""

    trainer: ModelTrainer
    desk: TrainingDesk
    runner: JobRunner
    candidates: Candidates


def open_training(
    settings: Settings,
    store: Store,
    collector: TrainingDataCollector,
    adapters: AdapterRooms,
    examinations: Background,
) -> TrainingRooms:
    """Nothing runs yet: the doors start the runner."""

    async def finish(job: TrainingJob, trained: Path) -> HandedOver:
        return await candidates.finish(job, trained)

    directory = jobs_directory(settings)
    runner = JobRunner(store, directory, training_interpreter(settings), _render, finish)
    trainer = ModelTrainer(collector)
    desk = TrainingDesk(
        store,
        collector,
        trainer,
        TrainingJobs(store, directory, runner.wake),
        trained_directory(settings),
        trainable_models(settings),
    )
    candidates = Candidates(
        store,
        adapters.promotion,
        desk,
        adapters.examiner,
        then=settings.after_training,
        background=examinations,
    )
    return TrainingRooms(trainer, desk, runner, candidates)


def _render(job: TrainingJob, config: Mapping[str, Any], directory: Path) -> Path:
    return render(recipe_named(job.recipe).file, config, directory / SCRIPT)
