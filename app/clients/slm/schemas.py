"""The JSON schemas of the answers.

Lengths are bounded in the schema itself: a small model that starts to repeat itself inside a string is
stopped by the grammar and not by max_tokens, which would leave broken JSON. A pattern makes a question end
in its mark, and keeps the dots of the form from being copied. A string has either a pattern or a
`maxLength`, never both: xgrammar cannot do both, and vLLM would fall back to a slower backend. Long
bounds cost: the grammar of the hypotheses is compiled in seconds, once for each count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

_START = r'[^"\\?？؟.… \n\r\t]'
_QUESTION: Schema = {"type": "string", "pattern": rf'^{_START}[^"\\?？؟\n\r\t]{{2,120}}[?？؟]$'}
_SENTENCE: Schema = {"type": "string", "pattern": rf'^{_START}[^"\\\n\r\t]{{2,120}}$'}


def hypotheses(count: int) -> Schema:
    item = _object(
        detail=_text(60),
        question=_QUESTION,
        statement=_text(160),
        importance={"type": "integer", "enum": [1, 2, 3]},
        options=_list(_text(60), 2, 4),
    )
    return _object(hypotheses=_list(item, count, count))


def enrichment() -> Schema:
    levels = {"type": "string", "enum": ["beginner", "intermediate", "expert", "unknown"]}
    return _object(
        implicit_goals=_list(_SENTENCE, 0, 3), expertise_level=levels, next_steps=_list(_SENTENCE, 0, 3)
    )


def questions(count: int) -> Schema:
    return _object(questions=_list(_QUESTION, count, count))


def facets() -> Schema:
    confidence = {"type": "number", "minimum": 0, "maximum": 1}
    return _object(facets=_list(_object(name=_text(80), value=_text(200), confidence=confidence), 0, 3))


def ratings(count: int) -> Schema:
    return _object(ratings=_list({"type": "integer", "minimum": 0, "maximum": 10}, count, count))


def _object(**properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Schema, least: int, most: int) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def _text(longest: int) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": longest}
