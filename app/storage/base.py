"""Seam 2: one Protocol for each noun. Every call names the tenant; every row carries it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from app.models import (
    Advance,
    Choice,
    Facet,
    Feedback,
    Interaction,
    InteractionKind,
    Memory,
    PlaybookEdit,
    Reading,
    Selection,
    Statement,
)
from app.storage.base_training import Adapters, Experiments, Jobs

__all__ = [
    "Adapters",
    "Advances",
    "Event",
    "EventKind",
    "Experiments",
    "Interactions",
    "Jobs",
    "Learning",
    "LearningHead",
    "Memories",
    "MemorySet",
    "Persona",
    "Personas",
    "Profile",
    "Store",
    "Users",
]

EventKind = Literal["selection", "choice", "feedback", "statement", "playbook_edit", "undo", "silence"]


@dataclass(frozen=True, slots=True)
class MemorySet:
    """All memories of one user, as they stood at `version`."""

    version: int
    """Grows with every write to this user's memories."""
    memories: tuple[Memory, ...]
    """Oldest first; ties by id."""
    vectors: NDArray[np.float32]
    """Shape (len(memories), dimensions), unit rows."""
    embedder: str
    """The name of the embedder the vectors came from.

    '' where there are none, or where they came from several and cannot be compared: `vectors` has no
    columns then, and putting the same memories with new vectors mends it.
    """


@dataclass(frozen=True, slots=True)
class Profile:
    """What a request needs to know of its user, read in one round trip."""

    facets: tuple[Facet, ...]
    """Those that hold now."""
    memory_version: int
    """0 where the user has no memories and never had one."""


@dataclass(frozen=True, slots=True)
class Persona:
    """What the events of one user make of them, up to the event `seq` (0: none yet)."""

    facets: tuple[Facet, ...]
    """Every facet ever held, closed ones too, oldest first; ties by id."""
    seq: int


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was said, at its place in the one order in which everything is learned."""

    seq: int
    """Grows with every event of any tenant; never given twice."""
    tenant: str
    user_id: str
    """"" where it is about no one person."""
    kind: EventKind
    at: datetime
    record: Selection | Choice | Feedback | Statement | PlaybookEdit | Advance
    interaction: Interaction | None = None
    """The request that a selection, a feedback or an advance is about."""
    reading: Reading | None = None
    """What the persona learned from, kept with the event; None: what the heuristic reads."""


@dataclass(frozen=True, slots=True)
class LearningHead:
    """Up to where a tenant's events go. A fold made in another epoch is void: a user was erased since."""

    epoch: int
    seq: int


class Memories(Protocol):
    async def put_memories(
        self,
        tenant: str,
        user_id: str,
        memories: Sequence[Memory],
        vectors: NDArray[np.float32],
        embedder: str,
    ) -> list[str]:
        """Store all or nothing; the ids, in order. A known external_id keeps its id and is replaced.

        So is a memory of this user with the same id; the id of another user's is a Conflict.
        """
        ...

    async def load_memories(self, tenant: str, user_id: str) -> MemorySet: ...

    async def list_memories(
        self, tenant: str, user_id: str, limit: int, cursor: str | None
    ) -> tuple[list[Memory], str | None]:
        """A page in a stable order, and the cursor of the next; InvalidInput for a cursor not ours."""
        ...

    async def delete_memory(self, tenant: str, memory_id: str) -> bool:
        """False where this tenant has no such memory."""
        ...


class Personas(Protocol):
    async def profile(self, tenant: str, user_id: str) -> Profile: ...

    async def load_persona(self, tenant: str, user_id: str) -> Persona: ...

    async def save_facets(
        self,
        tenant: str,
        user_id: str,
        facets: Sequence[Facet],
        *,
        since: int,
        seq: int,
        reading: Reading | None = None,
        anew: bool = False,
    ) -> bool:
        """Take the persona from the event `since` to the event `seq`, all or nothing.

        Facets are inserted or replaced by id; `anew`: they are all that there is. `reading` is kept with
        the event. False, and nothing is changed, where the persona no longer stands at `since` or the
        event is gone.
        """
        ...

    async def personas_behind(self) -> list[tuple[str, str]]:
        """(tenant, user_id) of everyone of whom an event is not learned yet."""
        ...

    async def add_statements(self, statements: Sequence[Statement]) -> None:
        """All or nothing; each is an event."""
        ...


class Interactions(Protocol):
    async def add_interaction(self, interaction: Interaction) -> None: ...

    async def get_interaction(self, tenant: str, request_id: str) -> Interaction | None: ...

    async def list_interactions(
        self, tenant: str, user_id: str | None, kind: InteractionKind | None, limit: int, cursor: str | None
    ) -> tuple[list[Interaction], str | None]:
        """Newest first."""
        ...

    async def thread(
        self, tenant: str, user_id: str, session_id: str
    ) -> list[tuple[Interaction, Selection | None]]:
        """The rounds of one thread, oldest first, each with what was selected."""
        ...

    async def add_selection(self, selection: Selection) -> tuple[Selection, bool]:
        """Store it. The row that stands afterwards, and whether this call made it.

        Conflict where another selection stands for that request; NotFound where there is no such request.
        """
        ...

    async def set_outcome(
        self, tenant: str, request_id: str, outcome: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Keep the answer to a selection; the first one stands and is returned. NotFound without one."""
        ...

    async def get_selection(self, tenant: str, request_id: str) -> Selection | None: ...

    async def add_choice(self, choice: Choice) -> None: ...

    async def list_choices(self, tenant: str, user_id: str) -> list[Choice]: ...

    async def add_feedback(self, feedback: Feedback) -> None: ...

    async def list_feedback(self, tenant: str, user_id: str) -> list[Feedback]: ...


class Users(Protocol):
    async def export_user(self, tenant: str, user_id: str) -> dict[str, list[dict[str, Any]]]:
        """Every row about the user by table, JSON types only, without vectors."""
        ...

    async def erase_user(self, tenant: str, user_id: str) -> dict[str, int]:
        """Delete every row about the user, verified gone in the same transaction.

        How many by table, without the tables that held none, and under "adapters_tainted" how many adapters
        that were trained on them are to be used no more.
        """
        ...

    async def list_users(self, tenant: str | None) -> list[tuple[str, str]]:
        """(tenant, user_id) of everyone who has a row; all tenants where None."""
        ...

    async def iterate_interactions(
        self, tenant: str | None, since: datetime | None = None
    ) -> Sequence[tuple[Interaction, Selection | None]]:
        """The source of truth, oldest first, for folds and export; all tenants where None."""
        ...


class Learning(Protocol):
    """The source of everything learned. Selections, choices and feedback enter it as they are added."""

    async def learning_head(self, tenant: str) -> LearningHead:
        """(0, 0) for a tenant of whom nothing is known."""
        ...

    async def events_after(
        self, tenant: str, seq: int, limit: int, user_id: str | None = None
    ) -> list[Event]:
        """The next events after `seq`, in order, each with its records; of one user where named."""
        ...

    async def add_playbook_edit(self, edit: PlaybookEdit) -> None: ...


class Advances(Protocol):
    """What was assumed, and what became of it. An undo, and silence until the end, are events."""

    async def open_advance(self, advance: Advance) -> None: ...

    async def get_advance(self, tenant: str, token: str) -> Advance | None: ...

    async def list_advances(self, tenant: str, user_id: str) -> list[Advance]:
        """Oldest first."""
        ...

    async def undo_advance(self, tenant: str, token: str, at: datetime) -> Advance:
        """Take it back, once, unless its time is over at `at`. The advance as it stands; NotFound without."""
        ...

    async def lapse_advances(self, tenant: str, at: datetime) -> None:
        """Those that nobody took back by `at` were met with silence."""
        ...


class Store(
    Memories, Personas, Interactions, Users, Learning, Advances, Adapters, Experiments, Jobs, Protocol
):
    """All of it; a service asks for the one Protocol that it uses."""

    async def ping(self) -> None:
        """Raises StorageError."""
        ...

    async def aclose(self) -> None: ...
