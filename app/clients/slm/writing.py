"""Hypotheses while they are being written."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from app.clients.slm.chat import ChatReply
from app.clients.slm.parsing import HypothesisReader, decode
from app.clients.slm.partial import ObjectScanner
from app.errors import BackendAnswerInvalid
from app.models import Hypothesis


async def written(
    pieces: AsyncGenerator[str | ChatReply], reader: HypothesisReader
) -> AsyncGenerator[Hypothesis | ChatReply]:
    """Each hypothesis that `reader` takes, as soon as it is whole, then the reply."""
    scanner = ObjectScanner()
    async with aclosing(pieces) as events:
        async for event in events:
            if isinstance(event, ChatReply):
                yield event
                continue
            for text in scanner.feed(event):
                hypothesis = reader.add(_object(text))
                if hypothesis is not None:
                    yield hypothesis


def _object(text: str) -> Any:
    """None for braces that hold no JSON: what becomes of it is for the whole answer to say."""
    try:
        return decode(text)
    except BackendAnswerInvalid:
        return None
