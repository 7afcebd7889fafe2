"""How long a text is for a language model, without its tokenizer."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import accumulate

_WORD = 12
"""Letters after which a run is not a word of a vocabulary but a key or a hash."""
_PIECES = re.compile(r"[A-Za-z]+|[0-9]|[^\sA-Za-z0-9]|\n+|[ \t\r\f\v]{2,}")
_SENTENCE_END = re.compile(r"[.!?…](?=\s|$)|[。！？]|\n")


def estimate(text: str) -> int:
    """Tokens in `text`, rather too many than too few.

    A word counts one token for each 3 letters (byte-pair vocabularies average over 4), a longer or mixed
    run of letters one for each 2, a digit or a sign one, any other character as many as it has UTF-8 bytes:
    byte-level tokenizers never need more.
    """
    return sum([_known_cost(p) if len(p) <= _WORD else _cost(p) for p in _PIECES.findall(text)])


def fit(text: str, budget: int) -> str:
    """`text` if it fits into `budget` tokens, else its beginning and end round an ellipsis.

    People put what they want first or last, so a third of the budget is kept for the end.
    """
    if _certainly_fits(text, budget) or estimate(text) <= budget:
        return text
    if budget < 8:
        return head(text, budget)
    tail_budget = (budget - 3) // 3
    tail = head(text[::-1][: tail_budget * 12], tail_budget)[::-1]
    return f"{head(text, budget - 3 - tail_budget).rstrip()} … {tail.lstrip()}"


def head(text: str, budget: int) -> str:
    """The longest beginning of `text` that ends between two pieces and fits into `budget` tokens."""
    if _certainly_fits(text, budget):
        return text
    pieces = list(_PIECES.finditer(text[: max(0, budget) * 12]))
    spent = list(accumulate(_cost(piece.group()) for piece in pieces))
    kept = sum(1 for total in spent if total <= budget)
    if kept == len(pieces) and len(text) <= budget * 12:
        return text
    return text[: pieces[kept - 1].end()] if kept else ""


def close_at_sentence(text: str, budget: int) -> str:
    """`text` cut to `budget` tokens at a sentence end, or at a word where no sentence ends early enough.

    One run of letters that is longer than the budget is cut within.
    """
    text = text.strip()
    cut = head(text, budget) or (text[: 2 * budget] if text[:1].isascii() else "")
    if cut == text:
        return text
    ends = [match.end() for match in _SENTENCE_END.finditer(cut)]
    return cut[: ends[-1]].strip() if ends else cut.strip()


def _certainly_fits(text: str, budget: int) -> bool:
    """A character costs at most 4 tokens, so short texts need no counting."""
    return len(text) * 4 <= budget


@lru_cache(maxsize=16_384)
def _known_cost(piece: str) -> int:
    """For short pieces: texts are made of the same few thousand words."""
    return _cost(piece)


def _cost(piece: str) -> int:
    if piece[0].isascii():
        if not piece[0].isalpha():
            return 1
        is_word = len(piece) <= _WORD and (len(piece) == 1 or piece[1:].islower())
        return -(-len(piece) // 3) if is_word else -(-len(piece) // 2)
    return len(piece.encode("utf-8", "surrogatepass"))
