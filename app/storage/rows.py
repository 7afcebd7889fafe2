"""Nouns to rows and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Row, RowMapping

from app.models import (
    Advance,
    Choice,
    Facet,
    FacetChange,
    Feedback,
    Interaction,
    Memory,
    PlaybookEdit,
    Reading,
    Selection,
    Statement,
)
from app.storage import tables
from app.storage.tables import (
    advances,
    choices,
    facets,
    interactions,
    memories,
    playbook_edits,
    selections,
    statements,
)

MEMORY_COLUMNS = (
    memories.c.id,
    memories.c.text,
    memories.c.external_id,
    memories.c.thread,
    memories.c.position,
    memories.c.kind,
    memories.c.importance,
    memories.c.created_at,
    memories.c.metadata,
)
"""In the order of Memory's fields."""


def memory_row(tenant: str, user_id: str, memory: Memory, memory_id: str) -> dict[str, Any]:
    """All columns but embedder and vector."""
    return {
        "tenant": tenant,
        "user_id": user_id,
        "id": memory_id,
        "text": memory.text,
        "external_id": memory.external_id,
        "thread": memory.thread,
        "position": memory.position,
        "kind": memory.kind,
        "importance": memory.importance,
        "created_at": memory.created_at,
        "metadata": dict(memory.metadata),
    }


def to_memory(row: Row[*tuple[Any, ...]]) -> Memory:
    """From a row that begins with MEMORY_COLUMNS."""
    return Memory(*row[: len(MEMORY_COLUMNS)])


def to_vectors(blobs: Sequence[bytes]) -> NDArray[np.float32]:
    """Shape (len(blobs), dimensions); (n, 0) where their lengths differ."""
    if not blobs or any(len(blob) != len(blobs[0]) for blob in blobs):
        return np.zeros((len(blobs), 0), np.float32)
    flat = np.frombuffer(b"".join(blobs), dtype="<f4")
    return flat.reshape(len(blobs), -1).astype(np.float32, copy=False)


def facet_row(tenant: str, user_id: str, facet: Facet) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "user_id": user_id,
        "id": facet.id,
        "name": facet.name,
        "value": facet.value,
        "rejected": facet.rejected,
        "confidence": facet.confidence,
        "evidence": facet.evidence,
        "counter_evidence": facet.counter_evidence,
        "last_seen": facet.last_seen,
        "valid_from": facet.valid_from,
        "valid_to": facet.valid_to,
        "producer": facet.producer,
        "context": facet.context,
    }


def to_facet(row: RowMapping) -> Facet:
    c = facets.c
    return Facet(
        id=row[c.id],
        name=row[c.name],
        value=row[c.value],
        rejected=tuple(row[c.rejected]),
        confidence=row[c.confidence],
        evidence=tuple(row[c.evidence]),
        counter_evidence=tuple(row[c.counter_evidence]),
        last_seen=row[c.last_seen],
        valid_from=row[c.valid_from],
        valid_to=row[c.valid_to],
        producer=row[c.producer],
        context=row[c.context],
    )


def to_reading(kept: Mapping[str, Any] | None) -> Reading | None:
    """From the JSON of `asdict(reading)`."""
    if kept is None:
        return None
    changes = (FacetChange(**{**change, "rejected": tuple(change["rejected"])}) for change in kept["changes"])
    return Reading(kept["producer"], tuple(changes), kept["by_words"])


def interaction_row(interaction: Interaction) -> dict[str, Any]:
    return {
        "tenant": interaction.tenant,
        "id": interaction.id,
        "user_id": interaction.user_id,
        "kind": interaction.kind,
        "session_id": interaction.session_id,
        "round": interaction.round,
        "created_at": interaction.created_at,
        "input_text": interaction.input_text,
        "answer": dict(interaction.answer),
        "record": dict(interaction.record),
    }


def to_interaction(row: RowMapping) -> Interaction:
    return Interaction(**{column.name: row[column] for column in interactions.c})


def selection_row(selection: Selection) -> dict[str, Any]:
    return {
        "tenant": selection.tenant,
        "request_id": selection.request_id,
        "user_id": selection.user_id,
        "hypothesis_id": selection.hypothesis_id,
        "option": selection.option,
        "free_text": selection.free_text,
        "created_at": selection.created_at,
        "outcome": selection.outcome,
    }


def to_selection(row: RowMapping) -> Selection:
    return Selection(**{column.name: row[column] for column in selections.c})


def to_round(row: RowMapping) -> tuple[Interaction, Selection | None]:
    """From interactions LEFT JOIN selections."""
    picked = row[selections.c.request_id] is not None
    return to_interaction(row), to_selection(row) if picked else None


def choice_row(choice: Choice) -> dict[str, Any]:
    return {
        "tenant": choice.tenant,
        "id": choice.id,
        "user_id": choice.user_id,
        "input_text": choice.input_text,
        "options": choice.options,
        "selected": choice.selected,
        "created_at": choice.created_at,
    }


def to_choice(row: RowMapping) -> Choice:
    values = {column.name: row[column] for column in choices.c}
    return Choice(**{**values, "options": tuple(values["options"])})


def feedback_row(feedback: Feedback) -> dict[str, Any]:
    return {
        "tenant": feedback.tenant,
        "id": feedback.id,
        "user_id": feedback.user_id,
        "request_id": feedback.request_id,
        "rating": feedback.rating,
        "comment": feedback.comment,
        "correction": feedback.correction,
        "useful": feedback.useful,
        "not_useful": feedback.not_useful,
        "created_at": feedback.created_at,
    }


def to_feedback(row: RowMapping) -> Feedback:
    values: dict[str, Any] = {column.name: row[column] for column in tables.feedback.c}
    return Feedback(
        **{**values, "useful": tuple(values["useful"]), "not_useful": tuple(values["not_useful"])}
    )


def statement_row(statement: Statement) -> dict[str, Any]:
    return {column.name: getattr(statement, column.name) for column in statements.c}


def to_statement(row: RowMapping) -> Statement:
    return Statement(**{column.name: row[column] for column in statements.c})


def edit_row(edit: PlaybookEdit) -> dict[str, Any]:
    return {column.name: getattr(edit, column.name) for column in playbook_edits.c}


def to_edit(row: RowMapping) -> PlaybookEdit:
    return PlaybookEdit(**{column.name: row[column] for column in playbook_edits.c})


def advance_row(advance: Advance) -> dict[str, Any]:
    return {column.name: getattr(advance, column.name) for column in advances.c}


def to_advance(row: RowMapping) -> Advance:
    return Advance(**{column.name: row[column] for column in advances.c})
