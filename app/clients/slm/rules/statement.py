"""The request said back to its author, with what it left open."""

from __future__ import annotations

import re
from functools import lru_cache

from app.clients.slm.rules.language import ENGLISH, UNKNOWN, language

_LONGEST = 14
_PERSONS = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "we": "you", "us": "you",
    "our": "your", "i'm": "you're", "i've": "you've", "i'd": "you'd", "i'll": "you'll", "am": "are",
}  # fmt: skip
_WISH = re.compile(
    r"^(?:hi|hello|hey)?[,! ]*(?:please|kindly)?[, ]*"
    r"(?:(?:i|we)(?:'d| would)? (?:want|need|wish|like|love)(?: you)? to"
    r"|(?:can|could|would|will) you(?: please)?|help me(?: to)?|let's)\s+(?:please )?(?=[a-z])",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"^(?:what|who|where|when|why|which|how|is|are|do|does|did|can|could|should|will|has|have)\b",
    re.IGNORECASE,
)
_TELLING = re.compile(
    r"^(?:i|we|my|our|the|a|an|this|that|these|those|there|it|he|she|they)\b|^i'", re.IGNORECASE
)
_SPEAKER = re.compile(r"^\w+ (?:me|us)\b", re.IGNORECASE)
"""“Teach me” is not what the author wants to do."""
_PLURAL = re.compile(r"[\w' -]*?\w(?<![sui])s(?: (?:or|and|of|for|to|in|available|with)\b.*)?$")


def statement(request: str, topic: str) -> str:
    """For example: You want to plan a trip to Tokyo and have not mentioned the budget."""
    text = " ".join(request.split())
    if language(text) not in (ENGLISH, UNKNOWN):
        return f"“{_short(text)}”: {topic}?"
    return f"{_told(text)} and have not mentioned {_with_article(topic)}."


@lru_cache(maxsize=64)
def _told(text: str) -> str:
    """What the author said, of whom several things can be missing."""
    first = re.split(r"(?<=[.!?])\s", text)[0].rstrip(".!? ")
    wish = _WISH.sub("", first)
    if len(wish.split()) < 2 or any(form.match(wish) for form in (_SPEAKER, _ASKING, _TELLING)):
        return f"You say “{_short(first)}”"
    return f"You want to {_short(_second_person(wish[:1].lower() + wish[1:]))}"


def _with_article(topic: str) -> str:
    return topic if topic.startswith("your ") or _PLURAL.match(topic) else f"the {topic}"


def _second_person(text: str) -> str:
    return " ".join(_PERSONS.get(word.lower(), word) for word in text.split())


def _short(text: str) -> str:
    kept = text.split()
    return text if len(kept) <= _LONGEST else " ".join(kept[:_LONGEST]) + " …"
