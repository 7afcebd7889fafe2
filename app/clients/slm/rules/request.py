"""The parts of an English request, by form: what to do, to what, and which circumstances are given."""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.text import words

_GREETING = r"(?:(?:hi|hello|hey|please|kindly|ok|okay|so)[,!. ]+)*"
_WISHES = (
    r"(?:i|we)(?:'d| would)? (?:really )?(?:want|need|wish|like|love|have)(?: you)? to",
    r"i(?:'m| am) (?:trying|planning|looking|going) to",
    r"(?:can|could|would|will) you(?: please)?",
    r"help me(?: to)?",
    r"let's",
    r"how (?:do|can|should) (?:i|we)",
    r"(?:i|we)(?:'d| would)? (?:want|need|like)",
)
_LEAD = re.compile(rf"^{_GREETING}(?:(?:{'|'.join(_WISHES)})\s+)*(?:please )?", re.IGNORECASE)
_STOP_AT = frozenset(
    """for to in on at with by from about into that which who whose so because using and or of as if when
    while during before after via per between against without within where how what then than""".split()  # noqa: SIM905
)
_SKIPPED = frozenset(
    "a an the my our your me us some this that these those new it them something anything stuff".split()  # noqa: SIM905
)
_LONGEST_OBJECT = 4
_NOT_VERBS = frozenset(
    """i it is are was were there the a an my our this that what who where when why which how do does did
    hi hello""".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Request:
    """For "Build a REST API for my shop" the verb is "build" and the object "REST API"."""

    verb: str
    """"" where the request does not begin with one."""
    object: str
    """Its words as written, without articles; "" where none was found."""
    actions: tuple[str, ...]
    """Each sentence that tells to do something, without its lead-in."""

    @classmethod
    def read(cls, text: str) -> Request:
        """Read the first sentence that tells to do something."""
        sentences = [
            s.strip(" .!?") for s in re.split(r"(?<=[.!?])\s+|\n", text.strip()[:2_000]) if s.strip(" .!?")
        ]
        actions = tuple(action for sentence in sentences if (action := _action(sentence)))
        if not actions:
            return cls("", "", ())
        verb, *rest = actions[0].split()
        return cls(verb.lower(), _object(rest), actions[:5])


def _action(sentence: str) -> str:
    text = _LEAD.sub("", sentence)
    first = words(text)[:1]
    return text if first and first[0] not in _NOT_VERBS else ""


def _object(rest: list[str]) -> str:
    kept: list[str] = []
    for word in rest:
        plain = word.strip(",;:.!?\"'()")
        if plain.lower() in _STOP_AT or len(kept) == _LONGEST_OBJECT:
            break
        if plain and plain.lower() not in _SKIPPED:
            kept.append(plain)
        if word[-1] in ",;:":
            break
    return " ".join(kept)
