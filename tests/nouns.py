"""Nouns for tests: one builder each, everything defaulted."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.models import (
    Adapter,
    Advance,
    Choice,
    Experiment,
    Exposure,
    Facet,
    Feedback,
    Interaction,
    Memory,
    PlaybookEdit,
    Selection,
    Statement,
    TrainingJob,
)
from app.storage.base import Store

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """So many seconds after NOON."""
    return NOON + timedelta(seconds=seconds)


def a_memory(id: str = "m1", text: str = "likes tea", **fields: Any) -> Memory:  # noqa: A002
    defaults: dict[str, Any] = {
        "external_id": None,
        "thread": None,
        "position": None,
        "kind": "note",
        "importance": 0.5,
        "created_at": NOON,
    }
    return Memory(id=id, text=text, **{**defaults, **fields})


def unit_vectors(count: int, dimensions: int = 4, seed: int = 0) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)
    unit: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def a_facet(id: str = "f1", **fields: Any) -> Facet:  # noqa: A002
    defaults: dict[str, Any] = {
        "name": "programming language",
        "value": "Python",
        "rejected": ("Go", "Rust"),
        "confidence": 0.8,
        "evidence": ("r1",),
        "counter_evidence": (),
        "last_seen": NOON,
        "valid_from": NOON,
        "valid_to": None,
        "producer": "local",
        "context": "build api",
    }
    return Facet(id=id, **{**defaults, **fields})


def a_hypothesis(id: str = "h1", question: str = "Which language?") -> dict[str, Any]:  # noqa: A002
    return {"id": id, "question": question, "options": ["Python", "Go"], "confidence": {"raw": 0.6}}


def an_interaction(id: str = "r1", **fields: Any) -> Interaction:  # noqa: A002
    defaults: dict[str, Any] = {
        "tenant": "default",
        "user_id": "ann",
        "kind": "hypothesize",
        "session_id": "s1",
        "round": 1,
        "created_at": NOON,
        "input_text": "build api",
        "answer": {"request_id": id, "hypotheses": [a_hypothesis("h1"), a_hypothesis("h2", "Which store?")]},
        "record": {
            "messages": [{"role": "user", "content": "build api"}],
            "prompt_version": "p1",
            "backend": "vllm",
            "model": "small",
            "adapter": None,
            "candidates": [{"id": "h1", "score": 0.6}, {"id": "h2", "score": 0.4}],
        },
    }
    return Interaction(id=id, **{**defaults, **fields})


def a_selection(request_id: str = "r1", **fields: Any) -> Selection:
    defaults: dict[str, Any] = {
        "tenant": "default",
        "user_id": "ann",
        "hypothesis_id": "h1",
        "option": "Python",
        "free_text": None,
        "created_at": at(5),
    }
    return Selection(request_id=request_id, **{**defaults, **fields})


def a_choice(id: str = "c1", **fields: Any) -> Choice:  # noqa: A002
    defaults: dict[str, Any] = {
        "tenant": "default",
        "user_id": "ann",
        "input_text": "a flat",
        "options": ("with garden", "in town"),
        "selected": "in town",
        "created_at": NOON,
    }
    return Choice(id=id, **{**defaults, **fields})


def a_feedback(id: str = "b1", **fields: Any) -> Feedback:  # noqa: A002
    defaults: dict[str, Any] = {
        "tenant": "default",
        "user_id": "ann",
        "request_id": "r1",
        "rating": 1.0,
        "comment": None,
        "correction": None,
        "useful": (),
        "not_useful": (),
        "created_at": at(9),
    }
    return Feedback(id=id, **{**defaults, **fields})


def a_statement(id: str = "s1", **fields: Any) -> Statement:  # noqa: A002
    defaults: dict[str, Any] = {
        "tenant": "default",
        "user_id": "ann",
        "name": "programming language",
        "value": "Haskell",
        "created_at": at(10),
    }
    return Statement(id=id, **{**defaults, **fields})


async def hold(store: Store, facets: Sequence[Facet], user_id: str = "ann", tenant: str = "default") -> None:
    """The facets as if a statement had taught them."""
    said = a_statement(uuid.uuid4().hex, user_id=user_id, tenant=tenant)
    await store.add_statements([said])
    since = (await store.load_persona(tenant, user_id)).seq
    last = (await store.events_after(tenant, since, 100, user_id))[-1]
    assert await store.save_facets(tenant, user_id, facets, since=since, seq=last.seq)


def an_edit(id: str = "p1", **fields: Any) -> PlaybookEdit:  # noqa: A002
    defaults: dict[str, Any] = {
        "tenant": "default",
        "user_id": "ann",
        "entry_id": "e1",
        "weight": 0.0,
        "created_at": at(11),
    }
    return PlaybookEdit(id=id, **{**defaults, **fields})


def an_advance(token: str = "t1", **fields: Any) -> Advance:
    """Made at NOON, to be taken back within ten minutes."""
    defaults: dict[str, Any] = {
        "tenant": "default",
        "user_id": "ann",
        "request_id": "r1",
        "hypothesis_id": "h1",
        "option": "Python",
        "created_at": NOON,
        "expires_at": at(600),
    }
    return Advance(token=token, **{**defaults, **fields})


def an_adapter(name: str = "hypotheses-000000000001", **fields: Any) -> Adapter:
    defaults: dict[str, Any] = {
        "path": f"/adapters/{name}",
        "base_model": "small",
        "rank": 16,
        "tenant": "default",
        "digest": name.rpartition("-")[2],
        "created_at": NOON,
        "lineage": {"job": "j1"},
    }
    return Adapter(name=name, **{**defaults, **fields})


def an_experiment(id: str = "x1", **fields: Any) -> Experiment:  # noqa: A002
    defaults: dict[str, Any] = {
        "tenant": "default",
        "task": "hypotheses",
        "control": None,
        "candidate": "hypotheses-000000000001",
        "phase": "shadow",
        "share": 0.5,
        "alpha": 0.05,
        "verdict": "running",
        "reason": "",
        "started_at": NOON,
    }
    return Experiment(id=id, **{**defaults, **fields})


def an_exposure(request_id: str = "r1", **fields: Any) -> Exposure:
    defaults: dict[str, Any] = {
        "tenant": "default",
        "experiment_id": "x1",
        "user_id": "ann",
        "arm": "candidate",
        "at": at(1),
    }
    return Exposure(request_id=request_id, **{**defaults, **fields})


def a_job(id: str = "j1", **fields: Any) -> TrainingJob:  # noqa: A002
    defaults: dict[str, Any] = {
        "tenant": "default",
        "task": "hypotheses",
        "recipe": "sft",
        "config": {"seed": 7},
        "status": "queued",
        "created_at": NOON,
        "directory": f"/jobs/{id}",
    }
    return TrainingJob(id=id, **{**defaults, **fields})
