"""What a request, its context and the conversation say already: never asked again.

What the persona answers is not for the rules to judge: a facet of one request need not hold for the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.clients.embedding.base import Embedder, Vectors
from app.clients.slm.base import GenerateHypotheses
from app.clients.slm.rules.concerns import Concern
from app.clients.slm.rules.wording import core
from app.text import stems, words

_ASKED_BEFORE = 0.62
"""Cosine of a topic with a settled one, a key of the context or an earlier question."""
_GUESSED = frozenset(["implicit_goals", "expertise_level", "next_steps"])
"""Keys that hold an enrichment: a guess of ours answers nothing."""
_READ = 5
_UNIT = 5
_MEASURE = re.compile(r"\b\d[\d,.]*[ -]([A-Za-z]{5,})")
"""A number with its unit ("2000 calories") settles what is named like the unit ("caloric needs")."""
_OPEN_LISTS = frozenset(
    stems("allergies restrictions requirements constraints limitations needs goals features interests")
)
"""Of these there can be more than the one that was named."""
_GENERAL = frozenset(
    stems("yes no none other others specific preference any both all option basic advanced more less")
)

# A value of this form in the request settles a topic with one of these words.
_VALUES: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = tuple(
    (re.compile(form, re.IGNORECASE), frozenset(stems(topics)))
    for form, topics in (
        (r"[$€£¥]\s?\d|\d[\d,.]*\s?(?:dollars|euros|usd|eur|pounds|bucks)\b", "budget price cost spending"),
        (
            r"\b\d{4}-\d\d-\d\d\b|\b\d{1,2} ?[ap]m\b|\b(?:today|tonight|tomorrow)\b",
            "date deadline timeframe",
        ),
        (
            r"\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]* \d{1,2}\b",
            "date deadline timeframe",
        ),
        (
            r"\b(?:\d+|one|two|three|four|five|six|ten)[ -](?:minute|hour|day|night|week|month|year)s?\b",
            "duration length",
        ),
        (r"\b(?:\d+|one|two|three|four|five|six|eight|ten) (?:people|persons|guests|adults|players)\b",
         "people guests participants attendees"),
        (r"\b\d+[ -](?:words?|pages?|paragraphs?)\b", "length"),
    )
)  # fmt: skip


class Known:
    """The settled topics and the texts that may settle more."""

    def __init__(self, said: str, topics: Vectors, settled: frozenset[str]) -> None:
        self._said = set(stems(said))
        self._spoken = f" {' '.join(words(said))} "
        self._units = {unit[:_UNIT].lower() for unit in _MEASURE.findall(said)}
        self._topics = topics
        self._settled = settled

    @classmethod
    async def of(cls, task: GenerateHypotheses, embedder: Embedder) -> Known:
        """Read a task. Keys of the context and earlier questions are settled topics."""
        pairs = list(_leaves({key: task.context[key] for key in task.context if key not in _GUESSED}))
        questions = [t.content for t in task.conversation if t.role == "assistant" and "?" in t.content]
        topics = [*(key for key, _ in pairs), *task.asked, *questions]
        theirs = [turn.content for turn in task.conversation if turn.role != "assistant"]
        said = ". ".join([task.user_input, *theirs, *(value for _, value in pairs)])
        settled = frozenset(stem for form, hits in _VALUES if form.search(said) for stem in hits)
        return cls(said, await embedder.embed([t for t in topics if t.strip()]), settled)

    def answers(self, concern: Concern) -> bool:
        """Whether asking this would be asking again."""
        offered = tuple(option for member in concern.members[:_READ] for option in member.detail.options)
        return self.settles(concern.topic, concern.topic_vector, offered)

    def settles(self, topic: str, vector: NDArray[np.float32], options: tuple[str, ...]) -> bool:
        """The same for a topic, its unit vector and what is offered with it."""
        about = core(topic)
        return (
            about <= self._said
            or bool(about & self._settled)
            or any(stem.startswith(unit) for stem in about for unit in self._units)
            or bool(len(self._topics) and (self._topics @ vector).max() >= _ASKED_BEFORE)
            or (not about & _OPEN_LISTS and any(self._speaks_of(option) for option in options))
        )

    def _speaks_of(self, option: str) -> bool:
        """Whether an option was named outright; words that any option may have do not count."""
        name = _outright(option)
        return name is not None and name in self._spoken


@lru_cache(maxsize=16_384)
def _outright(option: str) -> str | None:
    """The words of an option as they would be said; None for many words, or those of any option."""
    plain = words(option)
    if not plain or len(plain) > 3 or set(stems(option)) <= _GENERAL:
        return None
    return f" {' '.join(plain)} "


def _leaves(value: Any, key: str = "", depth: int = 4) -> Iterator[tuple[str, str]]:
    """Pairs of the nearest key and a plain value, from JSON of any shape."""
    if isinstance(value, Mapping) and depth:
        for name, inner in value.items():
            yield from _leaves(inner, str(name).replace("_", " "), depth - 1)
    elif isinstance(value, list | tuple) and depth:
        for inner in value:
            yield from _leaves(inner, key, depth - 1)
    elif value not in (None, "", {}, []):
        yield key, str(value)
