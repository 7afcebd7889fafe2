"""What a request, its context and the conversation say already: never asked again.

What the persona answers is not for the rules to judge: a facet of one request need not hold for the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.clients.embedding.base import Embedder, Vectors
from app.clients.slm.base import GenerateHypotheses
from app.clients.slm.rules.bags import bag
from app.clients.slm.rules.concerns import Concern
from app.clients.slm.rules.request import Request
from app.clients.slm.rules.told import Sentence, abbreviates, beginnings, names_in, sentences
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

    def __init__(
        self,
        said: str,
        topics: Vectors,
        settled: frozenset[str],
        keys: Sequence[str],
        told: Sequence[Sentence],
        request: frozenset[str],
        thing: frozenset[str],
    ) -> None:
        self._keys, self._told, self._request = keys, told, request
        self._said = set(stems(said))
        spoken = words(said)
        self._words = frozenset(spoken)
        self._spoken = f" {' '.join(spoken)} "
        self._names = self._said - thing
        self._units = {unit[:_UNIT].lower() for unit in _MEASURE.findall(said)}
        self._topics = topics
        self._settled = settled

    @classmethod
    async def of(cls, task: GenerateHypotheses, embedder: Embedder) -> Known:
        """Read a task. Keys of the context and earlier questions are settled topics."""
        pairs = list(_leaves({key: task.context[key] for key in task.context if key not in _GUESSED}))
        questions = [t.content for t in task.conversation if t.role == "assistant" and "?" in t.content]
        topics = [*(key for key, _ in pairs), *task.asked, *questions]
        thing = bag(Request.read(task.user_input).object)
        theirs = (turn.content for turn in task.conversation if turn.role != "assistant")
        told = [one for text in theirs for one in sentences(text, thing)]
        said = ". ".join([task.user_input, *(one.text for one in told), *(value for _, value in pairs)])
        settled = frozenset(stem for form, hits in _VALUES if form.search(said) for stem in hits)
        keys = [word for key, _ in pairs for word in words(key)]
        vectors = await embedder.embed([t for t in topics if t.strip()])
        return cls(said, vectors, settled, keys, told, bag(task.user_input), thing)

    def answers(self, concern: Concern) -> bool:
        """Whether asking this would be asking again."""
        details = [member.detail for member in concern.members[:_READ]]
        offered = tuple(option for detail in details for option in detail.options)
        questions = tuple(detail.question for detail in details)
        return self.settles(concern.topic, concern.topic_vector, offered, questions)

    def settles(
        self, topic: str, vector: NDArray[np.float32], options: Sequence[str], questions: Sequence[str]
    ) -> bool:
        """The same for a topic, its unit vector, what is offered with it and how it is asked for."""
        about = core(topic)
        return (
            about <= self._said
            or bool(about & self._settled)
            or any(stem.startswith(unit) for stem in about for unit in self._units)
            or bool(len(self._topics) and (self._topics @ vector).max() >= _ASKED_BEFORE)
            or any(abbreviates(key, topic) for key in self._keys)
            or any(one.answers(question, self._request) for one in self._told for question in questions)
            or (not about & _OPEN_LISTS and any(self._speaks_of(option) for option in options))
        )

    def _speaks_of(self, option: str) -> bool:
        """Whether an option was named outright; words that any option may have do not count."""
        name = _outright(option)
        return (
            (name is not None and name in self._spoken)
            or bool(names_in(option) & self._names)
            or not self._words.isdisjoint(beginnings(option))
        )


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
