"""From nouns to the lines of the four files: pure, so that an export writes what was written live.

Every line of a file has the same keys, and a key has one type: string, number or boolean. What is
absent is "", and free-form values are JSON in a string, so that readers which infer a schema, such
as datasets.load_dataset("json"), never meet a second one.

Of Interaction.record these keys are read, each optional: `messages` (list of {role, content}),
`prompt_version`, `backend`, `model`, `adapter` (str or None), `candidates` (list of objects with
`id`, `score` and whatever else ranked them), `prompt` (`version` and `messages` of what a model would have
been asked, where none was) and `shown.log_propensity`. Of Interaction.answer: the list that was shown, under
`hypotheses`, `results` or `ranking`, by the interaction's kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson

from app.models import Advance, Choice, Facet, Feedback, Interaction, Selection
from app.services.training.redact import alias, redact, redact_all

SCHEMA_VERSION = 1
HYPOTHESES = "hypotheses_data.jsonl"
PERSONAS = "persona_updates.jsonl"
RANKINGS = "ranking_data.jsonl"
FEEDBACK = "user_feedback.jsonl"
FILES = (HYPOTHESES, PERSONAS, RANKINGS, FEEDBACK)

EXPLICIT = 1.0
"""Confidence of a label that the user gave: a pick, typed text, an undo, a mark on one result."""
SILENCE = 0.3
"""Confidence of the label that lies in having picked nothing."""

SHOWN = {"hypothesize": "hypotheses", "search": "results", "rank": "ranking"}
Line = dict[str, Any]


def shown_line(interaction: Interaction) -> Line:
    """A request and what was shown for it, of whichever kind; no label yet."""
    if interaction.kind == "hypothesize":
        return _hypotheses(interaction, "shown", interaction.created_at, {}, SILENCE)
    return _ranking(interaction, "shown", interaction.created_at, {}, SILENCE)


def selection_line(interaction: Interaction, selection: Selection) -> Line:
    """The request again, with what was picked: enough to train on without a join."""
    picked = {
        "hypothesis_id": selection.hypothesis_id,
        "option": selection.option,
        "free_text": selection.free_text,
    }
    return _hypotheses(interaction, "picked", selection.created_at, picked, EXPLICIT)


def undo_line(interaction: Interaction, advance: Advance) -> Line:
    """The request again, with the option that was assumed and taken back: what the user did not want."""
    refused = {"hypothesis_id": advance.hypothesis_id, "option": advance.option, "free_text": None}
    moment = advance.settled_at or advance.expires_at
    return _hypotheses(interaction, "undone", moment, refused, EXPLICIT)


def labels_line(interaction: Interaction, feedback: Feedback) -> Line:
    """A search or ranking again, with the labels that came later."""
    labels = {
        "rating": feedback.rating,
        "useful": _ids(feedback.useful),
        "not_useful": _ids(feedback.not_useful),
    }
    sure = _confidence(feedback)
    return _ranking(interaction, "labelled", feedback.created_at, labels, sure, feedback.id)


def feedback_line(feedback: Feedback, interaction: Interaction | None) -> Line:
    words = {"comment": feedback.comment, "correction": feedback.correction}
    marks = {"useful": _ids(feedback.useful), "not_useful": _ids(feedback.not_useful)}
    line = _head(feedback.tenant, feedback.user_id, feedback.created_at, "feedback", feedback.id)
    return {
        **line,
        "request_id": alias(feedback.request_id or ""),
        **_origin(interaction.record if interaction else {}),
        "event": "feedback",
        "input_text": redact(interaction.input_text) if interaction else "",
        "rating": float(feedback.rating),
        "content": _json({**redact_all(words), **marks}),
        "label_confidence": _confidence(feedback),
    }


def choice_line(choice: Choice) -> Line:
    """A choice made elsewhere: the same shape as feedback."""
    content = {"options": list(choice.options), "selected": choice.selected}
    return {
        **_head(choice.tenant, choice.user_id, choice.created_at, "choice", choice.id),
        "request_id": "",
        **_origin({}),
        "event": "choice",
        "input_text": redact(choice.input_text),
        "rating": 1.0,
        "content": _json(redact_all(content)),
        "label_confidence": EXPLICIT,
    }


def persona_line(
    tenant: str,
    user_id: str,
    before: Facet | None,
    after: Facet,
    evidence_id: str,
    origin: Mapping[str, Any] | None = None,
) -> Line:
    """A facet as it was and as it is. Its evidence is what the user said, hence EXPLICIT.

    `origin` (as Interaction.record) is who read the evidence; without it, who opened the facet.
    """
    moment = after.valid_to or after.valid_from
    read = origin or {"backend": after.producer}
    return {
        **_head(tenant, user_id, moment, "persona", after.id, evidence_id or moment.isoformat()),
        "request_id": alias(evidence_id),
        **_origin(read),
        "messages": _json(redact_all(read.get("messages", []))),
        "facet": redact(after.name),
        "before": _facet(before),
        "after": _facet(after),
        "producer": after.producer,
        "label_confidence": EXPLICIT,
    }


def _hypotheses(
    interaction: Interaction, event: str, moment: datetime, picked: Mapping[str, Any], confidence: float
) -> Line:
    return {
        **_request(interaction, event, moment),
        **_prompt(interaction.record),
        "input_text": redact(interaction.input_text),
        "shown": _shown(interaction),
        "log_propensity": float((interaction.record.get("shown") or {}).get("log_propensity", 0.0)),
        "candidates": _with_ids(interaction.record.get("candidates", [])),
        "picked": _picked(picked),
        "label_confidence": confidence,
    }


def _ranking(
    interaction: Interaction,
    event: str,
    moment: datetime,
    labels: Mapping[str, Any],
    confidence: float,
    *cause: str,
) -> Line:
    return {
        **_request(interaction, event, moment, *cause),
        "query": redact(interaction.input_text),
        "messages": _json(redact_all(interaction.record.get("messages", []))),
        "candidates": _shown(interaction),
        "labels": _json(labels),
        "label_confidence": confidence,
    }


def _request(interaction: Interaction, event: str, moment: datetime, *cause: str) -> Line:
    return {
        **_head(interaction.tenant, interaction.user_id, moment, event, interaction.id, *cause),
        "request_id": interaction.id,
        "session_id": alias(interaction.session_id),
        "round": interaction.round,
        **_origin(interaction.record),
        "event": event,
    }


def _head(tenant: str, user_id: str, moment: datetime, event: str, *ids: str) -> Line:
    """`record_id` is made of the event and its ids: the same line twice is seen to be the same."""
    return {
        "schema_version": SCHEMA_VERSION,
        "record_id": ":".join([event, *_ids(ids)]),
        "time": moment.astimezone(UTC).isoformat(timespec="microseconds"),
        "tenant": tenant,
        "user_id": alias(user_id),
    }


def _origin(record: Mapping[str, Any]) -> Line:
    """Who answered, and from which prompt."""
    return {key: record.get(key) or "" for key in ("backend", "model", "adapter", "prompt_version")}


def _prompt(record: Mapping[str, Any]) -> Line:
    """What a model was asked or, where none was, would have been."""
    messages, version = record.get("messages"), record.get("prompt_version")
    if not messages and (unasked := record.get("prompt")):
        messages, version = unasked["messages"], unasked["version"]
    return {"prompt_version": version or "", "messages": _json(redact_all(messages or []))}


def _shown(interaction: Interaction) -> str:
    return _with_ids(interaction.answer.get(SHOWN[interaction.kind], []))


def _with_ids(items: list[Any]) -> str:
    """Redacted, but for the ids that labels refer to."""
    return _json(
        [{**redact_all(item), **({"id": alias(item["id"])} if "id" in item else {})} for item in items]
    )


def _picked(picked: Mapping[str, Any]) -> str:
    if not picked:
        return ""
    hypothesis_id = picked["hypothesis_id"]
    return _json({**redact_all(picked), "hypothesis_id": hypothesis_id and alias(hypothesis_id)})


def _facet(facet: Facet | None) -> str:
    if facet is None:
        return ""
    evidence = {"evidence": _ids(facet.evidence), "counter_evidence": _ids(facet.counter_evidence)}
    return _json({**redact_all(asdict(facet)), "id": alias(facet.id), **evidence})


def _ids(identifiers: Iterable[str]) -> list[str]:
    return [alias(identifier) for identifier in identifiers]


def _confidence(feedback: Feedback) -> float:
    said = feedback.correction or feedback.useful or feedback.not_useful
    return EXPLICIT if said else float(abs(feedback.rating))


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
