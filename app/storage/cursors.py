"""Cursors of lists: where the last page ended, as an opaque word."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import orjson

from app.errors import InvalidInput

T = TypeVar("T")
Place = tuple[datetime, str]
"""The time and the id of a row: lists are ordered by both."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def encode_cursor(place: Place) -> str:
    moment, row_id = place
    word = orjson.dumps([(moment - _EPOCH) // _MICROSECOND, row_id])
    return base64.urlsafe_b64encode(word).decode().rstrip("=")


def decode_cursor(cursor: str) -> Place:
    """Raises InvalidInput for what encode_cursor did not make."""
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        moment, row_id = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if type(moment) is not int or type(row_id) is not str:
            raise TypeError
        return _EPOCH + moment * _MICROSECOND, row_id
    except (binascii.Error, ValueError, TypeError, OverflowError):
        raise InvalidInput("this cursor is not one of ours") from None


def cut_page(rows: Sequence[T], limit: int, place: Callable[[T], Place]) -> tuple[list[T], str | None]:
    """The first `limit` of `rows`, which hold one more where another page follows, and its cursor."""
    page = list(rows[:limit])
    return page, encode_cursor(place(page[-1])) if len(rows) > limit else None
