"""Which language a text is in, by its script and its small words: enough to never ask in the wrong one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection
from functools import lru_cache

from app.text import STOP_WORDS, stems, words

ENGLISH = "en"
"""What the rules of form speak."""
UNKNOWN = ""
"""No sign of any language: names, code, a word or two."""

_ENOUGH = 500
_SMALL_WORDS = {
    "de": """der die das und ist ich mir mich ein eine einen einem einer für mit nicht wie was wir
        zu auf den dem von im bitte möchte kann über als auch meine meinen mein wo wann
        brauche in""",
    "fr": """le la les des du un une et est je tu il nous vous pour avec dans sur pas que qui quel
        quelle moi mon ma mes au aux ce cette comment où puis veux voudrais avez""",
    "es": """el la los las un una unos y es de del que para con por en no mi mis me yo cómo qué
        cuál quiero necesito puedes dónde su al una lo""",
    "it": """il lo la gli le un una e è di del della che per con non mi mio mia come cosa vorrei
        voglio puoi dove sono alla nel in""",
    "pt": """o os as um uma e é de do da dos das que para com por em não meu minha como qual quero
        preciso você onde no na uns""",
    "nl": """de het een en is ik je mijn voor met niet hoe wat wil graag kan naar van op bij wij
        maar waar in""",
    "pl": """i w na z do jest nie się że jak co dla mi mój moja chcę proszę jestem mam""",
    "sv": """och en ett det som är jag på för med inte hur vad vill kan till av min mitt""",
    "tr": """bir ve bu için ile ne nasıl ben bana mı mi istiyorum olan çok""",
    "id": """yang dan di untuk dengan saya ini itu tidak bagaimana apa ingin bisa dari ke""",
    "vi": """và là của cho với tôi một các không như thế nào muốn có""",
}
_WORDS = {ENGLISH: STOP_WORDS} | {name: frozenset(small.split()) for name, small in _SMALL_WORDS.items()}


def language(text: str) -> str:
    """A code such as "en", a script such as "CYRILLIC", or UNKNOWN; judged by the beginning."""
    return _language(text[:_ENOUGH])


def language_of_request(text: str, vocabulary: Collection[str]) -> str:
    """As `language`; a few words without a sign of any are English if `vocabulary` has them.

    `vocabulary` holds English stems. Half of the request's must be among them, and more than half
    where it has letters that English lacks: "préparer cv" is none of ours.
    """
    spoken = language(text)
    found = set(stems(text))
    if spoken or not found:
        return spoken
    share = len(found.intersection(vocabulary)) / len(found)
    return ENGLISH if share > 0.5 or (share == 0.5 and text.isascii()) else UNKNOWN


def speaks_otherwise(text: str, spoken: str) -> bool:
    """Whether a text is surely in another language than `spoken`; UNKNOWN is any but English.

    One small word is no proof against English, which shares many with others.
    """
    own = language(text[:_ENOUGH])
    if own in (spoken, UNKNOWN):
        return False
    if spoken == UNKNOWN:
        return own == ENGLISH
    return spoken != ENGLISH or own not in _SMALL_WORDS or _hits(words(text))[own] > 1


def is_english(text: str) -> bool:
    """Whether the rules of form can word it; so they can what shows no sign of a language."""
    return language(text) in (ENGLISH, UNKNOWN)


@lru_cache(maxsize=4_096)
def _language(text: str) -> str:
    script = _script(text)
    if script not in ("LATIN", UNKNOWN):
        return script
    counts = _hits(words(text))
    (best, hits), (_, next_hits) = counts.most_common(2)
    # Most words of two letters are words somewhere: "in" alone is a sign of English as little as of Italian.
    return UNKNOWN if hits == 0 or (hits == next_hits == counts[ENGLISH]) else best


def _hits(found: Collection[str]) -> Counter[str]:
    """How many of the words are small words of each language."""
    return Counter({name: sum(word in small for word in found) for name, small in _WORDS.items()})


def _script(text: str) -> str:
    """The script of most letters; a script of single characters counts for what a word would."""
    if text.isascii():
        return "LATIN"
    counts = Counter(_of(letter) for letter in text if letter.isalpha())
    return counts.most_common(1)[0][0] if counts else UNKNOWN


def _of(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "UNKNOWN").split()[0]
