"""Nouns of the training loop to rows and back. Their fields are named as the columns are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, Table

from app.models import Adapter, AdapterMove, Experiment, Exposure, TrainingJob
from app.storage.tables_training import adapter_moves, adapters, experiments, exposures, training_jobs

LEASE = ("lease_owner", "lease_until")
"""Columns of a job that are the store's own."""


def adapter_row(adapter: Adapter) -> dict[str, Any]:
    return _row(adapters, adapter)


def to_adapter(row: RowMapping) -> Adapter:
    return Adapter(**{column.name: row[column] for column in adapters.c})


def to_move(row: RowMapping) -> AdapterMove:
    own = {adapter_moves.c.seq, adapter_moves.c.tenant}
    return AdapterMove(**{column.name: row[column] for column in adapter_moves.c if column not in own})


def experiment_row(experiment: Experiment) -> dict[str, Any]:
    return _row(experiments, experiment)


def to_experiment(row: RowMapping) -> Experiment:
    return Experiment(**{column.name: row[column] for column in experiments.c})


def exposure_row(exposure: Exposure) -> dict[str, Any]:
    return _row(exposures, exposure)


def to_exposure(row: RowMapping) -> Exposure:
    return Exposure(**{column.name: row[column] for column in exposures.c})


def job_row(job: TrainingJob) -> dict[str, Any]:
    """All columns but the lease."""
    return _row(training_jobs, job)


def to_job(row: RowMapping) -> TrainingJob:
    return TrainingJob(**{column.name: row[column] for column in training_jobs.c if column.name not in LEASE})


def _row(table: Table, noun: object) -> dict[str, Any]:
    values = {column.name: getattr(noun, column.name) for column in table.c if column.name not in LEASE}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}
