"""Rows of supervised and of preference training, from what users did with the questions they were shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from app.services.training import serving
from app.services.training.datasets import DatasetOptions, Making, Row, Unusable, recorded_prompt, sure
from app.services.training.records import Asked
from app.services.training.serving import Item, Messages
from app.services.training.verdicts import Verdict, questions_shown, verdict_of


def add_hypotheses(asked: Asked, options: DatasetOptions, made: Making) -> None:
    """The whole answer as it should have been: the wanted first, then all that was not refused."""
    verdict, prompt = verdict_of(asked, options), _prompt(asked, options)
    if _rated_badly(asked, options):
        raise Unusable("the answer was rated badly")
    if not verdict.good:
        raise Unusable("nothing picked that the serving schema takes")
    items = _distinct([*verdict.good, *verdict.passed_over, *verdict.neutral])[: max(1, verdict.shown)]
    columns = _columns(serving.with_count(prompt, len(items)), completion=_told(items))
    made.rows.append(_row("hypotheses", asked, verdict, columns, propensity_weight(asked, options)))


def add_preferences(asked: Asked, options: DatasetOptions, made: Making) -> None:
    """Pairs and single judgements of one question each, so that they differ in nothing that nobody judged."""
    verdict = verdict_of(asked, options)
    prompt = serving.with_count(_prompt(asked, options), 1)
    rows = [*_pairs(asked, verdict, prompt, options), *_judgements(asked, verdict, prompt, options)]
    if not rows:
        raise Unusable("nothing picked or refused that the serving schema takes")
    made.rows += rows


def propensity_weight(asked: Asked, options: DatasetOptions) -> float:
    """1 / P(these questions in this order), clipped: a slate drawn by chance speaks for those not drawn."""
    surprise = max(0.0, -float(asked.line.get("log_propensity", 0.0)))
    return math.exp(min(surprise, math.log(options.max_weight)))


def _pairs(asked: Asked, verdict: Verdict, prompt: Messages, options: DatasetOptions) -> Iterator[Row]:
    """The wanted question against each that was passed over or refused for it; together they weigh as one."""
    if verdict.wanted is None:
        return
    won = verdict.wanted
    lost = [one for one in _distinct(verdict.bad) if one["question"] != won["question"]]
    for one in lost:
        columns = _columns(prompt, chosen=_told([won]), rejected=_told([one]))
        yield _row("preferences", asked, verdict, columns, propensity_weight(asked, options) / len(lost))


def _judgements(asked: Asked, verdict: Verdict, prompt: Messages, options: DatasetOptions) -> Iterator[Row]:
    for items, label in ((verdict.good, True), (verdict.bad, False)):
        for item in _distinct(items):
            columns = {**_columns(prompt, completion=_told([item])), "label": label}
            weight = propensity_weight(asked, options)
            yield _row("preferences_kto", asked, verdict, columns, weight)


def _prompt(asked: Asked, options: DatasetOptions) -> Messages:
    """As recorded; of a first round that kept none, the request alone."""
    messages = orjson.loads(asked.line["messages"] or "[]")
    prompt = recorded_prompt(messages, asked.line["prompt_version"], options)
    if prompt is None and asked.line["round"] != 1:
        raise Unusable("no prompt was kept")
    return prompt or serving.hypotheses_prompt(asked.line["input_text"], max(1, len(questions_shown(asked))))


def _rated_badly(asked: Asked, options: DatasetOptions) -> bool:
    return any(
        mark.content["rating"] < 0 and not mark.content["useful"]
        for mark in asked.judged
        if sure(mark, options)
    )


def _distinct(items: Sequence[Item]) -> list[Item]:
    kept: dict[str, Item] = {}
    for one in items:
        kept.setdefault(one["question"], one)
    return list(kept.values())


def _told(items: Sequence[Item]) -> list[dict[str, str]]:
    content = serving.hypotheses_answer(items)
    if "[redacted:" in content:
        raise Unusable("the answer holds what was redacted")
    return serving.answer(content)


def _columns(prompt: Messages, **answers: list[dict[str, str]]) -> dict[str, Any]:
    return {"prompt": [dict(message) for message in prompt], **answers}


def _row(file: str, asked: Asked, verdict: Verdict, columns: dict[str, Any], weight: float) -> Row:
    text = str(asked.line["input_text"])
    return Row(file, columns, (asked.user,), text, asked.time, verdict.records, weight)
