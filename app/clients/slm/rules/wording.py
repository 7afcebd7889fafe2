"""A concern put as a short question, by the form of its description and never by its subject."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from functools import lru_cache

from app.clients.slm.rules.bags import bag
from app.text import stem, stems, words

FORM_STEMS = frozenset(
    stems(
        "type kind sort level degree preference preferences preferred specific particular range current"
        " desired intended target required needed number amount your detail details information additional"
        " available interest certain main key general personal need requirements constraints considerations"
    )
)
"""Words of how a thing is asked for, not of what it is."""
_LAST = "Could you say more about {0}?"
_RELATIONAL = frozenset(
    stems(
        "source method nature version aspect aspects list criteria definition purpose context order handling"
        " content data number scope focus basis use step column features part output input rule name"
        " genre item title"
    )
)
"""Words that say nothing once what they are of is cut off."""
_QUESTION_WORDS = (3, 16)
"""Fewest and most words of a question."""

# Left column: the form of a description. Right: ways to ask for it, the plainest first.
_FORMS: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = tuple(
    (re.compile(rf"^(?:{form})$"), ways)
    for form, ways in (
        (r"(?:target|intended) audience.*|audience", ("Who is the {0}?", "Could you describe the {0}?")),
        (
            r"(?:criteri(?:a|on)|definition|meaning) (?:for|of) (?:'|\")?([\w -]+?)(?:'|\")?",
            ("What makes something {1} to you?", "By which criteria do you judge {1}?"),
        ),
        (r"number of (.+)", ("How many {1} do you have in mind?", "What number of {1} would suit you?")),
        (
            r"((?:type|kind|style|genre|category|brand|model)s? of .+?)(?: preferred| desired)?",
            ("What {1} do you have in mind?", "Which {1} is this about?"),
        ),
        (
            r"((?:level|depth|degree|amount) of .+?)(?: (?:required|needed|desired|expected|preferred).*)?",
            ("What {1} do you need?", "Which {1} would suit you?"),
        ),
        (
            r"(?:preferences?|interest) (?:for|in|on|regarding|between) (.+ or .+)",
            ("Do you prefer {1}?", "Would you rather have {1}?"),
        ),
        (
            r"(?:preferences?|interest) (?:for|in|on|regarding) (.+)",
            ("Do you have a preference for {1}?", "Are you interested in {1}?"),
        ),
        (
            r"(.+ (?:or|and) (?:preferences|requirements|interests|issues|goals|concerns))",
            ("Do you have any {1}?", "Are there any {1} to consider?"),
        ),
        (r"your (.+?) preferences?", ("Which {1} do you prefer?", "Do you have any {1} preferences?")),
        (r"(.+?) preferences?", ("Do you have any {1} preferences?", "Which {1} do you prefer?")),
        (r"preferred (?!or |and )(.+)", ("Which {1} do you prefer?", "Do you have a preferred {1}?")),
        (r"desired (.+)", ("Which {1} do you want?", "What would be the desired {1}?")),
        (
            r"(.*\b(?:restrictions|constraints|limitations|allergies|requirements|considerations|conditions))",
            ("Are there any {1} to consider?", "Do you have any {1}?"),
        ),
        (r"(.*\b(?:concerns|needs|interests|values|causes))", ("Do you have any {1}?", "Are there any {1}?")),
        (
            r"((?:\w+ )?(?:budget|price)(?: range| limit)?)(?: .+)?",
            ("What is your {1}?", "Do you have a {1} in mind?"),
        ),
        (r"(experience) (?:with|in) (.+)", ("How much experience do you have with {2}?",)),
        (
            r"(?:available time|time (?:available|availability|commitment|constraints?))(?: (for .+))?",
            ("How much time do you have {1}?", "What time can you give {1}?"),
        ),
        (
            r"available (.+)|(.+) (?:available|availability)",
            ("Which {1}{2} do you have available?", "What {1}{2} can be used?"),
        ),
        (r"(?:inclusion of|include) (.+)", ("Should {1} be included?", "Do you want {1} included?")),
        (r"need for (.+)", ("Do you need {1}?", "Is there a need for {1}?")),
        (r"handling (?:of )?(.+)", ("How should {1} be handled?", "What should happen with {1}?")),
        (r"willingness to (.+)", ("Are you willing to {1}?", "Would you {1}?")),
        (r"your (.+)", ("What {is} your {1}?", "Could you describe your {1}?")),
        (
            (
                r"((?:current|existing|skill|experience|expertise|knowledge|proficiency|risk)\b.*"
                r"|.+ (?:skill|knowledge|fitness|experience|comfort) level)"
            ),
            ("What {is} your {1}?", "Could you describe your {1}?"),
        ),
        (
            r"specific (.*s(?: (?:to|of|in|for|or|and) .+)?)",
            ("Are there any specific {1} you have in mind?", "Which {1} matter most to you?"),
        ),
        (r"specific (\w*[^\Wsui]s [a-z]+ed)", ("Are there any specific {1}?",)),
        (r"specific (.+)", ("Do you have a specific {1} in mind?", "Which {1} do you have in mind?")),
        (
            r"(purpose|context|nature|scope|cause|location|size|duration|length|frequency) (of .+)",
            ("What {is} the {1} {2}?", "Could you describe the {1} {2}?"),
        ),
        (r"(.+ level)", ("Which {1} would suit you?", "What is the {1}?")),
        (r"(intended .+|purpose|location|goals?)", ("What {is} the {1}?", "Could you describe the {1}?")),
        (
            r"(.+)",
            ("Which {1} do you have in mind?", "What {1} would suit you?", "Could you describe the {1}?"),
        ),
    )
)
_EXAMPLES = re.compile(
    r"\s*(?:\([^)]*\)"
    r"|,? (?:such as|for example|for instance|e\.g\.)\b.*|, (?:like|or are|and|or do|if so)\b.*"
    r"|,? that (?:you|i|we|need|should|might|may)\b.*|,? (?:i|we) should (?:be|keep|know)\b.*"
    r"|,? we should\b.*| to consider\b.*)",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"\b(?:user|can|could|will|would|is|are|has|have|wants?|not|willing)\b", re.IGNORECASE)
"""A description that is half a sentence cannot be the object of a question."""
_TAIL = re.compile(
    r"\s(?:for|of|in|from|to|on|at|with|about|during|within|after|before|regarding)(?=\s)(?! mind\b)"
)
_REMNANT = re.compile(r"^\w+(?:ed|ing)$")
"""A lone participle left of a phrase names nothing."""
_BROKEN_OFF = re.compile(r"[,:]$|\b(?:looking|interested|going|thinking|planning|trying|the|a|an|your)$")
"""Ends of a question whose rest was cut."""
_YOURS = re.compile(r"\b(?:your|any|a|the) your\b")
_USER = re.compile(r"\b(?:the )?(?:user|person|client)(?:'s|’s|s')", re.IGNORECASE)


@lru_cache(maxsize=16_384)
def core(text: str) -> frozenset[str]:
    """The stems that say what a text is about."""
    return bag(text) - FORM_STEMS


def topic(description: str, foreign: Iterable[str]) -> str | None:
    """The description without what belongs to another request; None where nothing is left to ask for.

    `foreign` holds stems. A phrase at the end that has one ("for the headphones") is cut off, and so
    are words before the head noun ("gardening experience level"); the head itself cannot be.
    """
    text = _noun_phrase(description)
    return None if text is None else _fitted(text, bag(text).intersection(foreign))


@lru_cache(maxsize=16_384)
def _noun_phrase(description: str) -> str | None:
    text = _USER.sub("your", description.strip().rstrip(".?:"))
    text = re.sub(r"\s*\([^)]*\)", "", text)
    return None if _CLAUSE.search(text) else _lower(text)


@lru_cache(maxsize=16_384)
def _fitted(whole: str, strange: frozenset[str]) -> str | None:
    """The rest of `topic`: `strange` are those of the phrase's own stems that are foreign."""
    text = _cut_tails(whole, strange)
    if not re.search(r"\b(?:and|or)\b", text):
        text = " ".join(word for word in text.split() if not _is(word, strange, keep_head=text))
    left = set(stems(text))
    empty = FORM_STEMS if text == whole else FORM_STEMS | _RELATIONAL
    return (
        text if left - empty and not strange & left and not (text != whole and _REMNANT.match(text)) else None
    )


def _cut_tails(text: str, strange: AbstractSet[str]) -> str:
    while strange & set(stems(text)):
        tails = list(_TAIL.finditer(text))
        if not tails:
            break
        text = text[: tails[-1].start()]
    return text


def _is(word: str, strange: AbstractSet[str], keep_head: str) -> bool:
    """Whether a word before the head noun is another request's."""
    head = re.split(_TAIL, keep_head)[0].split()[-1]
    return word != head and bool(strange & set(stems(word)))


def _lower(text: str) -> str:
    """Without the capital of a first word, unless it has more of them."""
    first = text.split(maxsplit=1)[0] if text else ""
    return text if first[1:] != first[1:].lower() else text[:1].lower() + text[1:]


def ask(phrase: str, taken: Collection[str] = ()) -> str:
    """A question for a topic, beginning otherwise than the openings in `taken` if there is a way."""
    asked = _ways(phrase)
    return next((question for question in asked if opening(question) not in taken), asked[0])


@lru_cache(maxsize=16_384)
def _ways(phrase: str) -> tuple[str, ...]:
    """All the questions that the form of a topic allows."""
    match, ways = next((m, ways) for form, ways in _FORMS if (m := form.match(phrase)))
    parts = [phrase, *(group or "" for group in match.groups())]
    return tuple(
        _tidy(way.format(*parts, **{"is": "are" if _plural(phrase) else "is"})) for way in (*ways, _LAST)
    )


def _plural(phrase: str) -> bool:
    head = re.split(_TAIL, phrase)[0].split()[-1]
    return head.endswith("s") and not head.endswith(("ss", "us", "is"))


def _tidy(question: str) -> str:
    question = _YOURS.sub("your", " ".join(question.split()).replace(" ?", "?"))
    return question[0].upper() + question[1:]


def reuse(question: str, foreign: Iterable[str]) -> str | None:
    """A question as it was once asked, made short; None where it cannot be asked of this request."""
    text = _first_sentence(question)
    return _reused(text, bag(text).intersection(foreign))


@lru_cache(maxsize=16_384)
def _first_sentence(question: str) -> str:
    first = re.split(r"(?<=[?.!])\s", question.strip())[0].rstrip("?.! ")
    return _EXAMPLES.sub("", first)


@lru_cache(maxsize=16_384)
def _reused(text: str, strange: frozenset[str]) -> str | None:
    """The rest of `reuse`: `strange` are those of the sentence's own stems that are foreign."""
    text = _cut_tails(text, strange)
    fewest, most = _QUESTION_WORDS
    if strange & set(stems(text)) or not fewest <= len(text.split()) <= most or _BROKEN_OFF.search(text):
        return None
    return _tidy(text + "?")


@lru_cache(maxsize=16_384)
def opening(question: str) -> str:
    """The first three words: two questions that share them look alike to a reader."""
    return " ".join(words(question)[:3])


@lru_cache(maxsize=16_384)
def names(text: str) -> frozenset[str]:
    """Stems of the words written as names: capitals in mid-sentence."""
    found = re.findall(r"(?<![.?!]\s)(?<!^)\b[A-Z][\w-]*", text)
    return frozenset(stem(word) for name in found for word in words(name))
