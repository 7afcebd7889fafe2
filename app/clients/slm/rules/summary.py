"""Summarize by rule: the sentences that speak of what the whole text speaks of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from app import tokens
from app.text import stems

_SENTENCES = re.compile(r"(?<=[.!?…])\s+|(?<=[。！？])|\n+")
_MOST_SENTENCES = 400


def summarize(text: str, max_tokens: int) -> str:
    """Whole sentences in their order, at most `max_tokens` by estimate; the beginning where none fits."""
    whole = text.strip()
    if tokens.estimate(whole) <= max_tokens:
        return whole
    sentences = [part.strip() for part in _SENTENCES.split(whole) if part.strip()][:_MOST_SENTENCES]
    left, kept = max_tokens, set[int]()
    for row in _by_weight(sentences):
        cost = tokens.estimate(sentences[row]) + 1
        if cost <= left:
            kept.add(row)
            left -= cost
    if not kept:
        return tokens.close_at_sentence(whole, max_tokens)
    return " ".join(sentences[row] for row in sorted(kept))


def _by_weight(sentences: Sequence[str]) -> list[int]:
    """Rows, weightiest first: how often the text speaks of a sentence's words, the opening a little more."""
    bags = [set(stems(sentence)) for sentence in sentences]
    counts = Counter(stem for bag in bags for stem in bag)
    scores = [
        sum(counts[stem] - 1 for stem in bag) / (4 + len(bag)) + (row == 0) for row, bag in enumerate(bags)
    ]
    return sorted(range(len(sentences)), key=lambda row: -scores[row])
