"""Sets of stems, remembered: the details of a playbook come back with every request like theirs."""

from __future__ import annotations

from functools import lru_cache

from app.text import stems


@lru_cache(maxsize=16_384)
def bag(text: str) -> frozenset[str]:
    """The distinct stems of a short text."""
    return frozenset(stems(text))
