"""Rows that teach relevance, from marks on what a search found, and facets, from what a choice changed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from app.services.training import serving
from app.services.training.datasets import DatasetOptions, Making, Row, Unusable, recorded_prompt, sure
from app.services.training.records import Asked, Learned, Records
from app.services.training.serving import Messages


def add_relevance(ranked: Asked, options: DatasetOptions, made: Making) -> None:
    """A row for each candidate that someone marked: does it help with the query, yes or no."""
    if not ranked.judged:
        raise Unusable("nothing said of it")
    rows = list(_relevance(ranked, options))
    if not rows:
        raise Unusable("no candidate marked, or not surely")
    made.rows += rows


def add_facets(learned: Learned, records: Records, options: DatasetOptions, made: Making) -> None:
    """What a choice told of its user, in the serving schema."""
    changes, marks = _changes(learned, options)
    prompt, text = _facets_prompt(learned, records, options)
    columns = _columns(prompt, serving.facets_answer(changes))
    made.rows.append(Row("persona_updates", columns, (learned.user,), text, learned.time, tuple(marks)))


def _relevance(ranked: Asked, options: DatasetOptions) -> Iterator[Row]:
    query = str(ranked.line["query"])
    found = orjson.loads(ranked.line["candidates"])
    texts = {str(one.get("id", one.get("index"))): one.get("text") for one in found}
    labels: dict[str, tuple[bool, str]] = {}
    for mark in ranked.judged:
        if sure(mark, options):
            labels |= dict.fromkeys(mark.content.get("useful", ()), (True, mark.record_id))
            labels |= dict.fromkeys(mark.content.get("not_useful", ()), (False, mark.record_id))
    for identity, (helps, record) in labels.items():
        if isinstance(text := texts.get(identity), str) and text.strip():
            columns = _columns(serving.relevance_prompt(query, text), serving.relevance_answer(helps))
            yield Row("ranking", columns, (ranked.user,), query, ranked.time, (record,))


def _changes(learned: Learned, options: DatasetOptions) -> tuple[list[tuple[str, str, float]], list[str]]:
    marks = {name: mark for name, mark in sorted(learned.facets.items()) if sure(mark, options)}
    if not marks:
        raise Unusable("label not sure enough")
    held = {
        name: mark
        for name, mark in marks.items()
        if mark.content.get("valid_to") is None and learned.evidence in mark.content["evidence"]
    }
    if not held:
        raise Unusable("it supports no facet")
    changes = [
        (name[:80], str(mark.content["value"])[:200], float(mark.content["confidence"]))
        for name, mark in held.items()
    ]
    return changes[:3], [mark.record_id for mark in held.values()]


def _facets_prompt(learned: Learned, records: Records, options: DatasetOptions) -> tuple[Messages, str]:
    """As recorded or, where a rule read the choice, as a model would be asked; and the request."""
    recorded = recorded_prompt(learned.messages, learned.prompt_version, options)
    said = _said(learned, records)
    if said is None and recorded is None:
        raise Unusable("neither a prompt nor the choice was kept")
    text, selected, offered = said or (learned.evidence, "", ())
    return recorded or serving.facets_prompt(text, selected, offered), text


def _said(learned: Learned, records: Records) -> tuple[str, str, tuple[str, ...]] | None:
    """The request, what was selected, and from what."""
    key = (learned.user[0], learned.evidence)
    if (choice := records.choices.get(key)) is not None:
        return choice.content["input_text"], choice.content["selected"], tuple(choice.content["options"])
    asked = records.asked.get(key)
    if asked is None or not asked.picks:
        return None
    pick = asked.picks[-1].content
    selected = pick.get("option") or pick.get("free_text")
    shown = {one.get("id"): one for one in orjson.loads(asked.line["shown"])}
    offered = shown.get(pick.get("hypothesis_id"), {}).get("options", ()) if pick.get("option") else ()
    return (str(asked.line["input_text"]), selected, tuple(offered)) if selected else None


def _columns(prompt: Messages, content: str) -> dict[str, Any]:
    if "[redacted:" in content:
        raise Unusable("the answer holds what was redacted")
    return {"prompt": [dict(message) for message in prompt], "completion": serving.answer(content)}
