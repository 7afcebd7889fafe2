"""The living playbook for people: what was learned, and a hand to weigh or remove it."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime

from app.errors import InvalidInput, NotFound
from app.models import PlaybookEdit
from app.services.learned import LearnedState, LearnedStates
from app.services.shelf import LearnedEntry
from app.storage.base import Learning

_CURSOR = re.compile(r"([0-9]{1,18})\.([ut]-[0-9a-f]{1,64})")


class PlaybookEdits:
    """Every edit is stored as an event, so that what was learned stays a fold over what is stored."""

    def __init__(self, store: Learning, learned: LearnedStates) -> None:
        self._store, self._learned = store, learned

    async def page(
        self, tenant: str, user_id: str | None, limit: int, cursor: str | None
    ) -> tuple[list[LearnedEntry], str | None]:
        """A user's own entries, or where None the tenant's, newest first; and the cursor of the next page."""
        state = await self._learned.get(tenant)
        held = sorted(state.playbook.entries(user_id), key=_place, reverse=True)
        if cursor is not None:
            before = _decoded(cursor)
            held = [entry for entry in held if _place(entry) < before]
        page = held[:limit]
        return page, f"{page[-1].last}.{page[-1].id}" if len(held) > limit else None

    async def state(self, tenant: str) -> LearnedState:
        """The fold itself, for its number of events and its fingerprint."""
        return await self._learned.get(tenant)

    async def weigh(self, tenant: str, entry_id: str, weight: float) -> LearnedEntry:
        """Set an entry's weight; 0 keeps it from all answers. The entry as it is now. Raises NotFound."""
        await self._edit(tenant, entry_id, weight)
        _, entry = await self._found(tenant, entry_id)
        return entry

    async def remove(self, tenant: str, entry_id: str) -> None:
        """Take an entry off its shelf. Raises NotFound."""
        await self._edit(tenant, entry_id, None)

    async def _edit(self, tenant: str, entry_id: str, weight: float | None) -> None:
        user_id, _ = await self._found(tenant, entry_id)
        edit = PlaybookEdit(uuid.uuid4().hex, tenant, user_id, entry_id, weight, datetime.now(UTC))
        await self._store.add_playbook_edit(edit)
        self._learned.touched(tenant)

    async def _found(self, tenant: str, entry_id: str) -> tuple[str, LearnedEntry]:
        found = (await self._learned.get(tenant)).playbook.find(entry_id)
        if found is None:
            raise NotFound(f"There is no playbook entry {entry_id!r}.")
        return found


def _place(entry: LearnedEntry) -> tuple[int, str]:
    return entry.last, entry.id


def _decoded(cursor: str) -> tuple[int, str]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidInput("this cursor is not one of ours")
    return int(match[1]), match[2]
