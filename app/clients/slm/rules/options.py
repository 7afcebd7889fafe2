"""Options to offer with a question: those of an earlier asking, if they fit this request too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache

from app.clients.slm.rules.bags import bag
from app.models import Detail, Example

_MOST = 4
_REST = 3
"""So many must be left where some do not fit: "One-off" and "Both" are no choice."""
_CLOSE = 0.45
"""An example this similar speaks of the same subject: what it offered fits."""
_INNER_NAME = re.compile(r"\s[A-Z][a-z]+|[a-z][A-Z]|\b[A-Z]\w*[0-9]")
_ASIDE = re.compile(r"\s*\([^)]*\)?")


def shared_stems(examples: Sequence[Example]) -> frozenset[str]:
    """Stems that the details of two or more of the examples have: they belong to no one subject."""
    once, twice = set[str](), set[str]()
    for example in examples:
        found = _all_stems(example)
        twice |= once & found
        once |= found
    return frozenset(twice)


def offer(
    candidates: Iterable[tuple[Detail, Example, AbstractSet[str]]],
    said: AbstractSet[str],
    shared: AbstractSet[str],
) -> tuple[str, ...]:
    """The first list whose options fit, all of them or three at least; () where there is none.

    A candidate is a detail, its example and the stems that only the example's request has. Lists are
    not mixed, as the options of one list exclude each other.
    """
    common = said | shared
    for detail, example, foreign in candidates:
        known = None if example.similarity >= _CLOSE else common
        kept = [
            short for option in detail.options if (short := _short(option)) and _fits(short, foreign, known)
        ]
        if len(kept) > 1 and (len(kept) == len(detail.options) or len(kept) >= _REST):
            return tuple(dict.fromkeys(kept))[:_MOST]
    return ()


def _all_stems(example: Example) -> frozenset[str]:
    texts = (text for d in example.details for text in (d.description, d.question, *d.options))
    return frozenset().union(*map(bag, texts))


@lru_cache(maxsize=16_384)
def _short(option: str) -> str:
    """Without asides, which hold another request's examples."""
    return _ASIDE.sub("", option).strip(" .")


def _fits(option: str, foreign: AbstractSet[str], known: AbstractSet[str] | None) -> bool:
    found = bag(option)
    if not found.isdisjoint(foreign):
        return False
    return known is None or (found <= known and not _INNER_NAME.search(option))
