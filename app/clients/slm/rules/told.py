"""Answers by form: what a sentence, a key or a name tells, without a table of what words mean the same."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from app.clients.slm.rules.bags import bag
from app.clients.slm.rules.wording import FORM_STEMS, core
from app.text import STOP_WORDS, stem, stems, words

_DOUBT = re.compile(
    r"^(?:which|what|who|where|when|how|should)\b.*\?$"
    r"|\b(?:no idea|not sure|unsure|don['’]?t know|do not know|undecided|not decided|open to|depends)\b",
    re.IGNORECASE,
)
"""Who says so leaves it open."""
_SENTENCE = re.compile(r"(?<=[.;!?])\s+|\n+|, and\s+")
_IT = frozenset(["it", "its", "they"])
_PARTICLES = frozenset(["in", "on", "out", "up", "off", "with", "for", "from", "at", "by"])
_NAME = re.compile(r"(?<=\s)[A-Z][\w+#-]+")
_VOWELS = frozenset("aeiou")
_SHORTER = 3
"""Letters that an abbreviation leaves out at least: "user" is no abbreviation of "users"."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """Something a user said about a request, other than the request."""

    text: str
    stems: frozenset[str]
    about: bool
    """Whether it speaks of what the request asks for."""
    phrases: frozenset[tuple[str, str]]
    """Its verbs with their particles: ("sign", "in")."""

    def answers(self, question: str, request: frozenset[str]) -> bool:
        """Whether it says what a question asks, in the question's words, and something more.

        Half of the words that the question does not share with the request must be in a sentence about
        the same thing; in another sentence two of them, or a verb with its particle.
        """
        own = core(question) - request
        shared = own & self.stems
        if not self.stems - own - request:
            return False
        half = bool(shared) and 2 * len(shared) >= len(own)
        phrases = {phrase for phrase in _phrases(question) & self.phrases if phrase[0] in own}
        return (half and (self.about or len(shared) > 1)) or bool(phrases)


def sentences(text: str, thing: frozenset[str]) -> list[Sentence]:
    """Those that tell something; `thing` holds the stems of what the request asks for."""
    return [
        Sentence(
            one, frozenset(stems(one)), bool(thing & bag(one) or _IT & set(words(one)[:1])), _phrases(one)
        )
        for one in _SENTENCE.split(text)
        if words(one) and not _DOUBT.search(one.strip())
    ]


@lru_cache(maxsize=16_384)
def _phrases(text: str) -> frozenset[tuple[str, str]]:
    found = words(text)
    return frozenset(
        (stem(verb), particle)
        for verb, particle in pairwise(found)
        if particle in _PARTICLES and verb not in STOP_WORDS
    )


@lru_cache(maxsize=16_384)
def abbreviates(key: str, topic: str) -> bool:
    """Whether a key is short for a word of a topic: "auth" for authentication, "db" for database."""
    return any(_is_short_for(key, word) for word in words(topic) if stem(word) not in FORM_STEMS)


def _is_short_for(key: str, word: str) -> bool:
    if len(word) - len(key) < _SHORTER or len(key) < 2 or key[0] != word[0]:
        return False
    if _VOWELS.isdisjoint(key):
        letters = iter(word)
        return all(letter in letters for letter in key)
    return len(key) >= 3 and word.startswith(key)


@lru_cache(maxsize=16_384)
def names_in(option: str) -> frozenset[str]:
    """Stems of the names inside an option: "A cloud such as AWS" has one."""
    return frozenset(stem(word) for name in _NAME.findall(option) for word in words(name))


@lru_cache(maxsize=16_384)
def beginnings(option: str) -> frozenset[str]:
    """What a name that ends in capitals is called for short: of PostgreSQL "postgre", "postgres"."""
    shortest = re.match(r"[A-Z][a-z]{4,}", option)
    if shortest is None or not option[shortest.end() :].isupper():
        return frozenset()
    return frozenset(option[:end].lower() for end in range(shortest.end(), len(option)))
