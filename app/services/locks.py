"""One at a time for each key, within this process."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary


class KeyedLocks:
    """A lock for each key in use; unused ones are forgotten."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[tuple[str, ...], asyncio.Lock] = WeakValueDictionary()

    def __call__(self, *key: str) -> asyncio.Lock:
        return self._held.setdefault(key, asyncio.Lock())
