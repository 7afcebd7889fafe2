"""Fakes that keep the promises of the seams; the contract suites run on them too."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import Conflict, NotFound, StorageError
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
from app.storage.base import Event, EventKind, LearningHead, MemorySet, Persona, Profile
from app.storage.cursors import cut_page, decode_cursor
from tests.fake_training_store import MemoryTraining, as_json, as_stored

Key = tuple[str, str]
E = TypeVar("E", Interaction, Selection, Choice, Feedback, Statement, PlaybookEdit, Advance)


class MemoryStore(MemoryTraining):
    """app.storage.base.Store in dicts. `broken = True` makes every call raise StorageError."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self._versions: dict[Key, int] = {}
        self._clock = itertools.count(1)
        self._memories: dict[Key, tuple[str, Memory, NDArray[np.float32], str]] = {}
        self._facets: dict[Key, dict[str, Facet]] = {}
        self._folded: dict[Key, int] = {}
        self._interactions: dict[Key, Interaction] = {}
        self._selections: dict[Key, Selection] = {}
        self._choices: dict[Key, Choice] = {}
        self._feedback: dict[Key, Feedback] = {}
        self._statements: dict[Key, Statement] = {}
        self._edits: dict[Key, PlaybookEdit] = {}
        self._advances: dict[Key, Advance] = {}
        self._events: list[Event] = []
        self._last_seq = 0
        self._epochs: dict[str, int] = {}

    async def put_memories(
        self,
        tenant: str,
        user_id: str,
        memories: Sequence[Memory],
        vectors: NDArray[np.float32],
        embedder: str,
    ) -> list[str]:
        self._check()
        kept = dict(self._memories)
        known = {
            held.external_id: memory_id
            for (owner_tenant, memory_id), (owner, held, _, _) in kept.items()
            if (owner_tenant, owner) == (tenant, user_id) and held.external_id is not None
        }
        ids = []
        for memory, vector in zip(memories, vectors, strict=True):
            external = memory.external_id
            memory_id = memory.id if external is None else known.setdefault(external, memory.id)
            holder = kept.get((tenant, memory_id))
            if holder is not None and holder[0] != user_id:
                raise Conflict
            frozen = replace(as_stored(memory), id=memory_id)
            kept[tenant, memory_id] = (user_id, frozen, np.array(vector, np.float32), embedder)
            ids.append(memory_id)
        if ids:
            self._memories = kept
            self._versions[tenant, user_id] = next(self._clock)
        return ids

    async def load_memories(self, tenant: str, user_id: str) -> MemorySet:
        rows = self._rows(tenant, user_id)
        embedders = {embedder for _, _, embedder in rows}
        alike = len(embedders) == 1
        return MemorySet(
            version=self._versions.get((tenant, user_id), 0),
            memories=tuple(memory for memory, _, _ in rows),
            vectors=np.stack([vector for _, vector, _ in rows])
            if alike
            else np.zeros((len(rows), 0), np.float32),
            embedder=embedders.pop() if alike else "",
        )

    def _rows(self, tenant: str, user_id: str) -> list[tuple[Memory, NDArray[np.float32], str]]:
        self._check()
        rows = [
            (memory, vector, embedder)
            for (owner_tenant, _), (owner, memory, vector, embedder) in self._memories.items()
            if (owner_tenant, owner) == (tenant, user_id)
        ]
        return sorted(rows, key=lambda row: (row[0].created_at, row[0].id))

    async def list_memories(
        self, tenant: str, user_id: str, limit: int, cursor: str | None
    ) -> tuple[list[Memory], str | None]:
        after = decode_cursor(cursor) if cursor is not None else None
        found = [memory for memory, _, _ in self._rows(tenant, user_id)]
        rest = [memory for memory in found if after is None or (memory.created_at, memory.id) > after]
        return cut_page(rest, limit, lambda memory: (memory.created_at, memory.id))

    async def delete_memory(self, tenant: str, memory_id: str) -> bool:
        self._check()
        row = self._memories.pop((tenant, memory_id), None)
        if row is None:
            return False
        self._versions[tenant, row[0]] = next(self._clock)
        return True

    async def profile(self, tenant: str, user_id: str) -> Profile:
        persona = await self.load_persona(tenant, user_id)
        held = [facet for facet in persona.facets if facet.valid_to is None]
        return Profile(tuple(held), self._versions.get((tenant, user_id), 0))

    async def load_persona(self, tenant: str, user_id: str) -> Persona:
        self._check()
        held = self._facets.get((tenant, user_id), {}).values()
        facets = sorted(held, key=lambda facet: (facet.valid_from, facet.id))
        return Persona(tuple(facets), self._folded.get((tenant, user_id), 0))

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
        self._check()
        user = (tenant, user_id)
        places = {event.seq: place for place, event in enumerate(self._events) if _user(event) == user}
        if self._folded.get(user, 0) != since or seq not in places:
            return False
        stored = {facet.id: as_stored(facet) for facet in facets}
        self._facets[user] = ({} if anew else self._facets.get(user, {})) | stored
        self._versions.setdefault(user, 0)
        self._folded[user] = seq
        if reading is not None:
            self._events[places[seq]] = replace(self._events[places[seq]], reading=reading)
        return True

    async def personas_behind(self) -> list[Key]:
        self._check()
        late = {_user(event) for event in self._events if event.seq > self._folded.get(_user(event), 0)}
        return sorted(user for user in late if user[1])

    async def add_statements(self, statements: Sequence[Statement]) -> None:
        for one in statements:
            self._add(self._statements, (one.tenant, one.id), one)
            self._happened("statement", self._statements[one.tenant, one.id])

    async def add_interaction(self, interaction: Interaction) -> None:
        self._add(self._interactions, (interaction.tenant, interaction.id), interaction)

    def _add(self, table: dict[Key, E], key: Key, noun: E) -> None:
        self._check()
        if key in table:
            raise Conflict
        table[key] = as_stored(noun)

    async def get_interaction(self, tenant: str, request_id: str) -> Interaction | None:
        self._check()
        return self._interactions.get((tenant, request_id))

    async def list_interactions(
        self, tenant: str, user_id: str | None, kind: InteractionKind | None, limit: int, cursor: str | None
    ) -> tuple[list[Interaction], str | None]:
        before = decode_cursor(cursor) if cursor is not None else None
        found = [
            interaction
            for interaction, _ in reversed(await self.iterate_interactions(tenant))
            if user_id in (None, interaction.user_id) and kind in (None, interaction.kind)
        ]
        rest = [one for one in found if before is None or (one.created_at, one.id) < before]
        return cut_page(rest, limit, lambda one: (one.created_at, one.id))

    async def thread(
        self, tenant: str, user_id: str, session_id: str
    ) -> list[tuple[Interaction, Selection | None]]:
        return [
            (interaction, selection)
            for interaction, selection in await self.iterate_interactions(tenant)
            if (interaction.user_id, interaction.session_id) == (user_id, session_id)
        ]

    async def add_selection(self, selection: Selection) -> tuple[Selection, bool]:
        self._check()
        key = (selection.tenant, selection.request_id)
        if key not in self._interactions:
            raise NotFound
        added = key not in self._selections
        stands = self._selections.setdefault(key, as_stored(selection))
        if replace(stands, created_at=selection.created_at, outcome=selection.outcome) != selection:
            raise Conflict
        if added:
            self._happened("selection", stands, stands.request_id)
        return stands, added

    async def set_outcome(
        self, tenant: str, request_id: str, outcome: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        stands = await self.get_selection(tenant, request_id)
        if stands is None:
            raise NotFound
        if stands.outcome is None:
            stands = as_stored(replace(stands, outcome=outcome))
            self._selections[tenant, request_id] = stands
        assert stands.outcome is not None
        return stands.outcome

    async def get_selection(self, tenant: str, request_id: str) -> Selection | None:
        self._check()
        return self._selections.get((tenant, request_id))

    async def add_choice(self, choice: Choice) -> None:
        self._add(self._choices, (choice.tenant, choice.id), choice)
        self._happened("choice", self._choices[choice.tenant, choice.id])

    async def list_choices(self, tenant: str, user_id: str) -> list[Choice]:
        self._check()
        return _of_user(self._choices, tenant, user_id)

    async def add_feedback(self, feedback: Feedback) -> None:
        self._add(self._feedback, (feedback.tenant, feedback.id), feedback)
        self._happened("feedback", self._feedback[feedback.tenant, feedback.id], feedback.request_id)

    async def list_feedback(self, tenant: str, user_id: str) -> list[Feedback]:
        self._check()
        return _of_user(self._feedback, tenant, user_id)

    async def add_playbook_edit(self, edit: PlaybookEdit) -> None:
        self._add(self._edits, (edit.tenant, edit.id), edit)
        self._happened("playbook_edit", self._edits[edit.tenant, edit.id])

    async def open_advance(self, advance: Advance) -> None:
        self._add(self._advances, (advance.tenant, advance.token), advance)

    async def get_advance(self, tenant: str, token: str) -> Advance | None:
        self._check()
        return self._advances.get((tenant, token))

    async def list_advances(self, tenant: str, user_id: str) -> list[Advance]:
        self._check()
        return _of_user(self._advances, tenant, user_id)

    async def undo_advance(self, tenant: str, token: str, at: datetime) -> Advance:
        self._check()
        if (open_ := self._advances.get((tenant, token))) is None:
            raise NotFound
        if open_.outcome is None and at < open_.expires_at:
            self._settle("undo", replace(open_, outcome="undone", settled_at=at))
        return self._advances[tenant, token]

    async def lapse_advances(self, tenant: str, at: datetime) -> None:
        self._check()
        over = [one for one in self._advances.values() if one.outcome is None and one.expires_at <= at]
        for one in sorted(over, key=lambda one: (one.expires_at, one.token)):
            if one.tenant == tenant:
                self._settle("silence", replace(one, outcome="silent", settled_at=at))

    def _settle(self, kind: EventKind, advance: Advance) -> None:
        self._advances[advance.tenant, advance.token] = advance
        self._happened(kind, advance, advance.request_id)

    def _happened(
        self,
        kind: EventKind,
        record: Selection | Choice | Feedback | Statement | PlaybookEdit | Advance,
        request_id: str | None = None,
    ) -> None:
        self._last_seq += 1
        asked = None if request_id is None else self._interactions.get((record.tenant, request_id))
        at = getattr(record, "settled_at", None) or record.created_at
        self._events.append(Event(self._last_seq, record.tenant, record.user_id, kind, at, record, asked))

    async def learning_head(self, tenant: str) -> LearningHead:
        self._check()
        last = max((event.seq for event in self._events if event.tenant == tenant), default=0)
        return LearningHead(self._epochs.get(tenant, 0), last)

    async def events_after(
        self, tenant: str, seq: int, limit: int, user_id: str | None = None
    ) -> list[Event]:
        self._check()
        found = [
            event
            for event in self._events
            if event.tenant == tenant and event.seq > seq and user_id in (None, event.user_id)
        ]
        return [self._as_it_stands(event) for event in found[:limit]]

    def _as_it_stands(self, event: Event) -> Event:
        """A selection has got its outcome since."""
        if not isinstance(event.record, Selection):
            return event
        return replace(event, record=self._selections[event.tenant, event.record.request_id])

    async def export_user(self, tenant: str, user_id: str) -> dict[str, list[dict[str, Any]]]:
        self._check()
        owner = {"tenant": tenant, "user_id": user_id}
        version = self._versions.get((tenant, user_id))
        embedded = [(memory, embedder) for memory, _, embedder in self._rows(tenant, user_id)]
        rows: dict[str, list[dict[str, Any]]] = {
            "memories": [owner | asdict(memory) | {"embedder": name} for memory, name in embedded],
            "facets": [owner | asdict(f) for f in self._facets.get((tenant, user_id), {}).values()],
            "selections": [asdict(row) for row in _of_user(self._selections, tenant, user_id)],
            "advances": [asdict(row) for row in _of_user(self._advances, tenant, user_id)],
            "interactions": [asdict(row) for row in _of_user(self._interactions, tenant, user_id)],
            "choices": [asdict(row) for row in _of_user(self._choices, tenant, user_id)],
            "feedback": [asdict(row) for row in _of_user(self._feedback, tenant, user_id)],
            "statements": [asdict(row) for row in _of_user(self._statements, tenant, user_id)],
            "playbook_edits": [asdict(row) for row in _of_user(self._edits, tenant, user_id)],
            "events": [
                owner | {"seq": event.seq, "kind": event.kind, "at": event.at}
                for event in self._events
                if (event.tenant, event.user_id) == (tenant, user_id)
            ],
            "users": [] if version is None else [owner | {"memory_version": version}],
        } | self._rows_about(tenant, user_id)
        return {name: as_json(table) for name, table in rows.items()}

    async def erase_user(self, tenant: str, user_id: str) -> dict[str, int]:
        counts = {name: len(rows) for name, rows in (await self.export_user(tenant, user_id)).items()}
        counts["adapters_tainted"] = await self._erase_training(tenant, user_id)
        self._memories = {
            key: row for key, row in self._memories.items() if (key[0], row[0]) != (tenant, user_id)
        }
        kept = [event for event in self._events if (event.tenant, event.user_id) != (tenant, user_id)]
        if len(kept) < len(self._events):
            self._events = kept
            self._epochs[tenant] = self._epochs.get(tenant, 0) + 1
        for table in (
            self._interactions,
            self._selections,
            self._advances,
            self._choices,
            self._feedback,
            self._statements,
            self._edits,
        ):
            for key in [key for key, row in table.items() if (row.tenant, row.user_id) == (tenant, user_id)]:
                del table[key]
        self._facets.pop((tenant, user_id), None)
        self._versions.pop((tenant, user_id), None)
        self._folded.pop((tenant, user_id), None)
        return {name: count for name, count in counts.items() if count}

    async def list_users(self, tenant: str | None) -> list[tuple[str, str]]:
        self._check()
        tables = (self._interactions, self._selections, self._choices, self._feedback, self._statements)
        everyone = {(row.tenant, row.user_id) for table in tables for row in table.values()}
        everyone |= set(self._versions)
        everyone |= {(row.tenant, row.user_id) for row in self._edits.values() if row.user_id}
        everyone |= {(row.tenant, row.user_id) for row in self._exposures.values()}
        return sorted(user for user in everyone if tenant in (None, user[0]))

    async def iterate_interactions(
        self, tenant: str | None, since: datetime | None = None
    ) -> Sequence[tuple[Interaction, Selection | None]]:
        self._check()
        rows = sorted(self._interactions.values(), key=lambda row: (row.created_at, row.tenant, row.id))
        return [
            (row, self._selections.get((row.tenant, row.id)))
            for row in rows
            if tenant in (None, row.tenant) and (since is None or row.created_at >= since)
        ]

    async def ping(self) -> None:
        self._check()

    async def aclose(self) -> None:
        self.broken = True

    def _check(self) -> None:
        if self.broken:
            raise StorageError


def _user(event: Event) -> Key:
    return event.tenant, event.user_id


def _of_user(table: Mapping[Key, E], tenant: str, user_id: str) -> list[E]:
    rows = [row for row in table.values() if (row.tenant, row.user_id) == (tenant, user_id)]
    return sorted(rows, key=lambda row: row.created_at)
