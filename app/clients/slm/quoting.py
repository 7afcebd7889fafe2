"""Other people's text on its way into a prompt: quoted as data, and no longer than its share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from app.tokens import estimate, fit

_BRACKET_TAG = re.compile(r"\[(?=/?[A-Z_]{3,}\])")
_JOIN = 3
"""Tokens for the quotes and the comma round an item."""


def quoted(data: object) -> str:
    """`data` as one line of JSON that holds no control token of any chat template.

    `<|im_end|>`, `</s>` or `[INST]` in a user's text would otherwise be read as the end of the message:
    servers tokenize the rendered template as a whole. JSON's own escapes mean the same to a reader.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(", ", ": "), default=str)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return _BRACKET_TAG.sub(r"\\u005b", text.replace("<", "\\u003c"))


class Budget:
    """Tokens left for a prompt; whoever asks first is served first."""

    def __init__(self, tokens: int) -> None:
        self.left = tokens

    def text(self, text: str, share: int) -> str:
        """`text`, shortened so that it fits, quoted, into `share` tokens and into what is left."""
        limit = allowed = max(0, min(share, self.left - _JOIN))
        taken = fit(text, limit)
        # Escapes can make a text several times as long; each turn takes off what the last was over.
        while (cost := estimate(quoted(taken)) - 2) > limit and taken:
            allowed = allowed * limit // cost
            taken = fit(text, allowed)
        self.left -= cost + _JOIN
        return taken

    def lines(self, items: Iterable[str], share: int, each: int = 120) -> list[str]:
        """The first `items` that together fit into `share`, none longer than `each`."""
        share = min(share, self.left)
        own = Budget(share)
        lines: list[str] = []
        for item in items:
            if own.left <= _JOIN + each // 4:
                break
            lines.append(own.text(item, each))
        self.left -= share - own.left
        return lines
