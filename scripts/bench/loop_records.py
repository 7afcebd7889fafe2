"""IN3's annotated tasks as what a service would have recorded, and the dataset that is made of them.

Each task is one user's one request. The answer is what the annotators found missing, the picked question the
one that matters most; the prompt is rendered as it is served, every third one with the examples that the
service would have shown for it, which are never made of the task itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import GenerateHypotheses
from app.clients.slm.prompts import PROMPT_VERSION, render
from app.models import Detail, Interaction, Selection
from app.services.playbook import Playbook
from app.services.training import ModelTrainer, TrainingDataCollector
from app.services.training.history import read_history
from app.storage.base import Store
from app.storage.migrate import migrate
from app.storage.open import open_store

COUNT = 3
_NEIGHBOURS = 12
"""Examples that the service looks up for a request."""
_LONGEST = 120
"""Characters of a question, so many as the grammar of the answers lets through."""
_EXAMPLES = re.compile(r",? (?:such as|for example|for instance|e\.g\.|including|\(e\.g\.)|, like |\. ")
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Task:
    """A request and what it leaves open, most important first."""

    id: str
    text: str
    vague: bool
    details: tuple[Detail, ...]

    @property
    def with_examples(self) -> bool:
        """A third of the tasks, the same ones every time: they make prompts half as long again."""
        return hashlib.sha256(self.id.encode()).digest()[0] % 3 == 0


def read_tasks(path: Path) -> list[Task]:
    return [_task(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _task(row: dict[str, Any]) -> Task:
    details = [
        Detail(one["description"], one["question"], float(one["importance"]), tuple(one["options"]))
        for one in row["details"]
    ]
    details.sort(key=lambda one: -one.importance)
    return Task(row["id"], row["text"], row["vague"], tuple(details))


def first_question(text: str) -> str:
    """Without what annotators added behind it, and without its examples where it is too long."""
    first = text.partition("?")[0].strip()
    if len(first) > _LONGEST:
        first = _EXAMPLES.split(first, maxsplit=1)[0].rstrip(" ,(")
    return f"{first}?"


async def make_dataset(tasks: Sequence[Task], playbook: Path, folder: Path, eval_share: float) -> Path:
    """The rows to learn from; records, training files and datasets lie in `folder`, which is new."""
    async with _opened(f"sqlite:///{folder}/records.db") as store:
        await _record(store, [task for task in tasks if task.vague and task.details], playbook)
        history = await read_history(store)
    async with TrainingDataCollector(folder / "training") as collector:
        await collector.export(history, folder / "training")
        trainer = ModelTrainer(collector, folder / "datasets")
        made = await trainer.prepare_training_dataset(tasks=("hypotheses",), eval_share=eval_share)
    return made["hypotheses"]


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[Store]:
    await migrate(url)
    store = open_store(url)
    try:
        yield store
    finally:
        await store.aclose()


async def _record(store: Store, tasks: Sequence[Task], playbook: Path) -> None:
    examples = await Playbook.open(playbook, StaticEmbedder())
    for number, task in enumerate(tasks):
        moment = _BEGAN + timedelta(minutes=number)
        messages = await _prompt(task, examples)
        interaction = _interaction(task, moment, messages)
        picked = interaction.answer["hypotheses"][0]["id"]
        await store.add_interaction(interaction)
        await store.add_selection(
            Selection(
                interaction.id,
                interaction.tenant,
                interaction.user_id,
                picked,
                None,
                None,
                moment + timedelta(seconds=30),
            )
        )


async def _prompt(task: Task, playbook: Playbook) -> list[dict[str, str]]:
    k = _NEIGHBOURS if task.with_examples else 0
    examples = await playbook.resembling(task.text, k, exclude_own_row=True)
    return [dict(message) for message in render(GenerateHypotheses(task.text, examples=examples)).messages]


def _interaction(task: Task, moment: datetime, messages: list[dict[str, str]]) -> Interaction:
    shown = [_hypothesis(task, place, one) for place, one in enumerate(task.details[:COUNT])]
    return Interaction(
        id=f"{task.id}-1",
        tenant="default",
        user_id=task.id,
        kind="hypothesize",
        session_id=task.id,
        round=1,
        created_at=moment,
        input_text=task.text,
        answer={"hypotheses": shown},
        record={"backend": "annotators", "prompt_version": PROMPT_VERSION, "messages": messages},
    )


def _hypothesis(task: Task, place: int, one: Detail) -> dict[str, Any]:
    missing = f"{one.description[:1].lower()}{one.description[1:]}"
    return {
        "id": f"{task.id}-1-{place}",
        "detail": one.description,
        "question": first_question(one.question),
        "statement": f"The request does not say: {missing}.",
        "importance": round(one.importance),
        "options": list(one.options),
    }
