"""Which language a text is in, by its script and its small words: enough to never ask in the wrong one."""

from __future__ import annotations

import unicodedata
from collections import Counter
from functools import lru_cache

from app.text import STOP_WORDS, words

ENGLISH = "en"
"""What the rules of form speak."""
UNKNOWN = ""
"""No sign of any language: names, code, a word or two."""

_ENOUGH = 500
_SMALL_WORDS = {
    "de": """der die das und ist ich mir mich ein eine einen einem einer für mit nicht wie was wir
        zu auf den dem von im bitte möchte kann über als auch meine meinen mein wo wann
        brauche""",
    "fr": """le la les des du un une et est je tu il nous vous pour avec dans sur pas que qui quel
        quelle moi mon ma mes au aux ce cette comment où puis veux voudrais avez""",
    "es": """el la los las un una unos y es de del que para con por en no mi mis me yo cómo qué
        cuál quiero necesito puedes dónde su al una lo""",
    "it": """il lo la gli le un una e è di del della che per con non mi mio mia come cosa vorrei
        voglio puoi dove sono alla nel""",
    "pt": """o os as um uma e é de do da dos das que para com por em não meu minha como qual quero
        preciso você onde no na uns""",
    "nl": """de het een en is ik je mijn voor met niet hoe wat wil graag kan naar van op bij wij
        maar waar""",
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


def is_english(text: str) -> bool:
    """Whether the rules of form can word it; so they can what shows no sign of a language."""
    return language(text) in (ENGLISH, UNKNOWN)


@lru_cache(maxsize=4_096)
def _language(text: str) -> str:
    script = _script(text)
    if script not in ("LATIN", UNKNOWN):
        return script
    found = words(text)
    counts = Counter({name: sum(word in small for word in found) for name, small in _WORDS.items()})
    # English first, as most words of two letters are words somewhere.
    best, hits = max(counts.items(), key=lambda item: (item[1], item[0] == ENGLISH))
    return best if hits else UNKNOWN


def _script(text: str) -> str:
    """The script of most letters; a script of single characters counts for what a word would."""
    if text.isascii():
        return "LATIN"
    counts = Counter(_of(letter) for letter in text if letter.isalpha())
    return counts.most_common(1)[0][0] if counts else UNKNOWN


def _of(letter: str) -> str:
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "UNKNOWN").split()[0]
