"""Read from the store what the four files are rebuilt from."""

from __future__ import annotations

from typing import Protocol

from app.services.training.history import History
from app.storage.base import Interactions, Personas, Users


class Source(Interactions, Personas, Users, Protocol):
    """The nouns that training records are made of."""


async def read_history(store: Source) -> History:
    """Everything that happened, of all tenants and users."""
    users = await store.list_users(None)
    return History(
        interactions=await store.iterate_interactions(None),
        choices=[choice for user in users for choice in await store.list_choices(*user)],
        feedback=[feedback for user in users for feedback in await store.list_feedback(*user)],
        facets={user: await store.facet_history(*user) for user in users},
    )
