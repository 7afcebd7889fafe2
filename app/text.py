"""Words and stems: how this service cuts text wherever words are compared; and names for ids."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache
from threading import Lock

import snowballstemmer

STOP_WORDS = frozenset(
    """a an the and or but nor so of to in on for with about into from by at as up out off over under
    is are was were be been being am do does did doing done have has had having will would shall should
    can could may might must ought i me my mine we us our ours you your yours he him his she her hers
    it its they them their theirs this that these those there here who whom whose which what when where
    why how if then than because while until not no yes any some all each every both few more most
    other such only own same too very just also im ive id ill youre dont doesnt didnt cant wont isnt
    please thanks thank hello hi hey let lets""".split()  # noqa: SIM905 - a paragraph reads better than 150 quotes
)

_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# Scripts written without spaces have no word breaks to cut at: each character counts as a word.
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+(?:['’][^\W_{_UNSPACED}]+)*")
_APOSTROPHES = str.maketrans("", "", "'’")
_LONGEST = 64

_stemmer = snowballstemmer.stemmer("english")
_stemming = Lock()


def words(text: str) -> list[str]:
    """The lower-case runs of letters and digits, in order; "don't" is one word, "dont"."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    found = _WORD.findall(text.lower())
    if "'" in text or "’" in text:
        found = [word.translate(_APOSTROPHES) for word in found]
    return [word[:_LONGEST] for word in found]


def stems(text: str) -> list[str]:
    """The words without stop words, each cut to its English stem, in order."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


def content(text: str) -> str:
    """The words that are not stop words, in order; all of the text where there are no others."""
    return " ".join(word for word in words(text) if word not in STOP_WORDS) or text


@lru_cache(maxsize=32_768)
def stem(word: str) -> str:
    """The stem of one lower-case word (Snowball, English)."""
    with _stemming:  # the stemmer keeps the word it works on in itself
        return str(_stemmer.stemWord(word))


def pseudonym(identifier: str) -> str:
    """The same for the same id, and without a way back: what a training file writes for a telling id."""
    return "alias:" + hashlib.sha256(identifier.encode()).hexdigest()[:24]
