"""What a question asks for, by its form: the inverse of wording.ask, for questions that people type."""

from __future__ import annotations

import re

from app.text import stems

_MOST_WORDS = 9
_AUXILIARY = r"(?:do|does|did|are|is|would|will|should|have|has|can|could|might|may|was|were|shall|must)"
_POLITE = re.compile(
    r"^(?:(?:and|also|so|ok|okay|well|hi|hello|thanks?)[, ]+)*"
    r"(?:(?:could|can|would|will) you (?:please |kindly )?"
    r"(?:tell|let|specify|clarify|share|describe|provide|give|indicate|elaborate|say|mention|confirm|explain"
    r"|define|state|list|name)"
    r"(?: (?:me|us|know|more|a bit|a little|some|something))*(?: about| with| on| if| whether)?"
    r"|may (?:i|we) (?:know|ask)|please (?:tell|specify|clarify|describe|provide|share"
    r"|define|state|list|name|give|explain)(?: me| us)?"
    r"|i(?:'d| would) like to know|tell (?:me|us))\b[, ]*",
    re.IGNORECASE,
)
_IS_SHORT = re.compile(r"^(what|who|where|when|how)['’]s\b", re.IGNORECASE)
_ARTICLES = r"(?: (?:any|a|an|certain|particular))*"

# Left: the form of a question. Right: what it asks for, {} being the words found.
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"^(?:{form})$", re.IGNORECASE), wanted)
    for form, wanted in (
        (r"how (?:large|big|tall)\b.*", "size"),
        (r"how (?:far|near|close)\b.*", "distance"),
        (r"how (?:old|recent|new)\b.*", "age"),
        (r"how (?:detailed|deep|complex|thorough|in-depth|comprehensive)\b.*", "level of detail"),
        (r"how (?:experienced|familiar|skilled|comfortable|proficient)\b.*", "level of experience"),
        (
            r"how much (?:are|do|would|will|can) (?:you|i|we)\b.*\b(?:spend|pay|cost|invest)\b.*",
            "budget",
        ),
        (rf"how many (.+?)(?: {_AUXILIARY}\b.*)?", "number of {}"),
        (r"how much (time|money|experience|space|detail)\b.*", "{}"),
        (r"how (?:long|soon)\b.*", "duration"),
        (r"how often\b.*", "frequency"),
        (r"when\b.*", "date"),
        (r"where\b.*", "location"),
        (r"who(?:m)?\b.*", "people"),
        (
            (
                r"(?:in|for|to|from|at|on|with|by|about|of|within) (?:which|what)"
                rf" (.+?)(?: {_AUXILIARY}\b.*)?"
            ),
            "{}",
        ),
        (r"(?:what|which) (?:is|are|was|were|would be) (.+)", "{}"),
        (r"(?:what|which) do you mean by (.+)", "meaning of {}"),
        (rf"(?:what|which) (.+?) {_AUXILIARY}\b.*", "{}"),
        (r"(?:what|which) (.+)", "{}"),
        (rf"(?:are|is) there{_ARTICLES} (.+)", "{}"),
        (rf"do you (?:or your \w+ )?(?:have|need|want|prefer|require|own|use){_ARTICLES} (.+)", "{}"),
        (
            (
                r"are you (?:looking for|interested in|searching for|considering|thinking of|planning"
                rf"|referring to|focusing on){_ARTICLES} (.+)"
            ),
            "{}",
        ),
        (rf"{_AUXILIARY} (?:(?:the|your|there|i|we|it|you) )?(?:be )?(.+?)(?: be .*)?", "{}"),
        (r"(?:the|your|any|a|an|some|if|whether|about) (?:you(?:'re| are| have| would)? )?(.+)", "{}"),
    )
)
_ENDS_AT = re.compile(
    r"(?:[,;:(]|\b(?:that|which|who|whom) (?:you|i|we|should|would|the)\b"
    r"|\b(?:you(?:'re|'d|'ve)?|i|we)\b|\bsuch as\b|\blike\b|\bfor example\b|\bin mind\b"
    r"|\band (?:the|your|any|how|what|which|whether)\b"
    r"|\b(?:of|for|with|in|on|to|from|at|about|by) (?:my|our|his|her)\b"
    r"|\bto (?:be|focus|include|consider|use|have|see|know)\b|\bwhen\b|\bwhere\b|\bbefore\b"
    r"|\bor (?:is|are|do|would|something|any|the|an?|your)\b).*$",
    re.IGNORECASE,
)
_OPENS_WITH = re.compile(
    r"^(?:(?:the|a|an|any|your|you|some|our|me|my|certain|particular|specific|preferred|desired|exact|us|to"
    r"|about)\s+)+",
    re.IGNORECASE,
)
_DANGLING = re.compile(
    r"(?:\s+(?:for|of|in|from|to|on|at|with|about|the|a|an|and|or|your|by|regarding|is|are|do|does|within"
    r"|as|most|would|any))+$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[“\"][^”\"]*[”\"]|(?<!\w)['‘][^'’]*['’](?!\w)")
_NAME = re.compile(r"(?<=\S )[A-Z][\w-]*")
_NUMBER = re.compile(r"\b\w*\d[\w.,:%/-]*")


def asked_for(question: str) -> str | None:
    """For "What is your budget for the trip to Paris?" it is "budget for the trip"; None where no form fits.

    Names, numbers and what stands in quotes are left out.
    """
    sentences = re.split(r"(?<=[?.!])\s", question.strip())
    asking = next((one for one in sentences if one.endswith("?")), sentences[0]).rstrip("?!. ")
    plain = _IS_SHORT.sub(r"\1 is", _POLITE.sub("", _QUOTED.sub(" ", asking)).strip())
    for form, wanted in _FORMS:
        if match := form.match(plain):
            found = impersonal(f"the {match.group(1)}") if match.groups() else ""
            if stems(found) or "{}" not in wanted:
                return wanted.format(found)
    return None


def impersonal(phrase: str) -> str:
    """A phrase without names, numbers, quotations and what is said of the asker; "" where nothing is left."""
    text = _ENDS_AT.sub("", _QUOTED.sub(" ", phrase))
    text = " ".join(_NUMBER.sub(" ", _NAME.sub(" ", text)).split())
    text = _DANGLING.sub("", _OPENS_WITH.sub("", _DANGLING.sub("", text)))
    return " ".join(text.split()[:_MOST_WORDS]).strip(" -'’")
