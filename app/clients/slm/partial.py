"""Finds the complete objects in JSON that is still being written."""

from __future__ import annotations

import re

_SIGNS = re.compile(r'["\\{}\[\]]')


class ObjectScanner:
    """Fed with pieces of a JSON text, gives each object that stands in a list, as soon as it is complete.

    An object inside such an object belongs to it. Words before the JSON are passed over. How the text
    is cut into pieces makes no difference.
    """

    def __init__(self) -> None:
        self._text = ""
        self._position = 0
        self._open: list[str] = []
        self._in_string = False
        self._start: int | None = None
        self._depth = 0

    def feed(self, piece: str) -> list[str]:
        """The texts of the objects that `piece` completes, in order."""
        self._text += piece
        found: list[str] = []
        while match := _SIGNS.search(self._text, self._position):
            self._position = match.end()
            if self._in_string:
                if match.group() == "\\":
                    if match.end() == len(self._text):
                        self._position = match.start()
                        break
                    self._position += 1
                elif match.group() == '"':
                    self._in_string = False
                continue
            self._take(match.group(), match.start(), found)
        else:
            self._position = len(self._text)
        self._forget()
        return found

    def _take(self, sign: str, at: int, found: list[str]) -> None:
        if sign == '"':
            self._in_string = bool(self._open)
        elif sign in "{[":
            if sign == "{" and self._start is None and self._open[-1:] == ["["]:
                self._start, self._depth = at, len(self._open)
            self._open.append(sign)
        elif sign in "}]" and self._open:
            self._open.pop()
            if self._start is not None and len(self._open) == self._depth:
                found.append(self._text[self._start : at + 1])
                self._start = None

    def _forget(self) -> None:
        """Drop what was read, so that memory is bounded by one object."""
        keep = self._position if self._start is None else self._start
        self._text = self._text[keep:]
        self._position -= keep
        if self._start is not None:
            self._start = 0
