"""What one answer teaches the playbook: an entry for the user's own shelf, and what of it the tenant may see.

Only detail, question, options and the request's vector leave a user's scope, without any word that
this user said or had on record here: the form of a question tells what it asks for. What is left may
still hold words that the user typed; app/services/common_words.py says when those may leave.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from app.models import Detail, Feedback, Interaction, Selection
from app.services.training.redact import redact
from app.text import stems, words

_MOST_OPTIONS = 6
_MOST_CHARACTERS = 400
_TYPED_IMPORTANCE = 3.0
"""Who types what should have been asked cannot do without it."""
_QUESTION_MARKS = "?？؟"
_BARE_WORDS = 6
"""Typed words up to so many may name a detail; more of them are something else than a question missed."""


@dataclass(frozen=True, slots=True)
class Wording:
    """The rules of form that a backend without a model has for questions."""

    asked_for: Callable[[str], str | None]
    """The detail that a question asks for, without names and numbers; None where its form says nothing."""
    impersonal: Callable[[str], str]
    """A phrase without names and numbers."""
    topic: Callable[[str, Collection[str]], str | None]
    """A phrase without what has one of these stems; None where nothing is left."""
    ask: Callable[[str], str]
    """A question for a detail."""
    is_english: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Lesson:
    """What a user wanted to be asked at a request."""

    id: str
    user_id: str
    text: str
    """The request; it stays on the user's own shelf."""
    own: Detail
    shared: Detail | None
    """What the tenant may see; None where nothing is left of it."""
    telling: frozenset[str] = frozenset()
    """Stems of `shared` that no rule put there."""


@dataclass(frozen=True, slots=True)
class Passed:
    """A question that was shown and let lie."""

    user_id: str
    text: str
    own: str
    """The detail as it was shown."""
    shared: str | None
    """The detail as the tenant's shelf would hold it."""


def lesson(asked: Interaction, said: Selection, wording: Wording) -> Lesson | None:
    """What a selection teaches; None where nothing was picked or asked for."""
    wanted = _wanted(asked, said, wording)
    if wanted is None:
        return None
    shared = _shared(wanted, _private(asked), wording)
    telling: list[str] = []
    if shared is not None:
        asks_itself = wording.ask(shared.description) != shared.question
        telling = stems(f"{shared.description} {shared.question}" if asks_itself else shared.description)
    return Lesson(
        _id(asked.tenant, asked.id), asked.user_id, asked.input_text, wanted, shared, frozenset(telling)
    )


def written(asked: Interaction, *texts: str | None) -> frozenset[str]:
    """Stems of all that a user wrote or had on record at a request, and of these texts of theirs."""
    facets = asked.answer.get("context", {}).get("facets", ())
    said = (*texts, *(str(facet.get("name", "")) for facet in facets))
    return _private(asked).union(stem for text in said for stem in stems(text or ""))


def shown_to(asked: Interaction) -> frozenset[str]:
    """Stems of the questions and options that an answer showed."""
    return frozenset(
        stem
        for one in asked.answer.get("hypotheses", ())
        for text in (one["detail"], one["question"], *one["options"])
        for stem in stems(str(text))
    )


def passed(asked: Interaction, said: Selection, wording: Wording) -> Iterator[Passed]:
    """The questions above the pick; all of them where it was none of these."""
    private = _private(asked)
    for hypothesis in asked.answer.get("hypotheses", ()):
        if hypothesis["id"] == said.hypothesis_id:
            return
        yield _passed(asked, hypothesis, private, wording)


def disliked(asked: Interaction, said: Feedback, wording: Wording) -> Iterator[Passed]:
    """The questions that feedback calls not useful."""
    private = _private(asked)
    for hypothesis in asked.answer.get("hypotheses", ()):
        if hypothesis["id"] in said.not_useful:
            yield _passed(asked, hypothesis, private, wording)


def _passed(
    asked: Interaction, hypothesis: Mapping[str, Any], private: Collection[str], wording: Wording
) -> Passed:
    detail = str(hypothesis["detail"])
    return Passed(asked.user_id, asked.input_text, detail, wording.topic(wording.impersonal(detail), private))


def _wanted(asked: Interaction, said: Selection, wording: Wording) -> Detail | None:
    """In the user's own words."""
    for hypothesis in asked.answer.get("hypotheses", ()):
        if hypothesis["id"] == said.hypothesis_id:
            options = [str(option) for option in hypothesis["options"]]
            picked = [said.option] if said.option in options else []
            offered = dict.fromkeys([*picked, *options])
            return Detail(
                str(hypothesis["detail"])[:_MOST_CHARACTERS],
                str(hypothesis["question"])[:_MOST_CHARACTERS],
                float(hypothesis.get("importance", 2)),
                tuple(offered)[:_MOST_OPTIONS],
            )
    typed = " ".join((said.free_text or "").split())[:_MOST_CHARACTERS]
    if said.hypothesis_id is not None or not words(typed):
        return None
    if any(mark in typed for mark in _QUESTION_MARKS):
        return Detail(wording.asked_for(typed) or typed.rstrip(_QUESTION_MARKS), typed, _TYPED_IMPORTANCE)
    if len(typed.split()) > _BARE_WORDS:
        return None
    return Detail(typed, wording.ask(typed), _TYPED_IMPORTANCE)


def _shared(wanted: Detail, private: Collection[str], wording: Wording) -> Detail | None:
    if not wording.is_english(wanted.question):
        return _shared_as_it_is(wanted, private)
    phrase = redact(wording.impersonal(wanted.description))
    left = wording.topic(phrase, private) if phrase else None
    if not left:
        return None
    return Detail(left, wording.ask(left), wanted.importance, _shared_options(wanted.options, private))


def _shared_as_it_is(wanted: Detail, private: Collection[str]) -> Detail | None:
    """Where the rules cannot word it anew, it leaves whole or not at all."""
    said = {*stems(wanted.description), *stems(wanted.question)}
    if said & set(private) or any(letter.isdigit() for letter in wanted.question):
        return None
    return Detail(
        redact(wanted.description),
        redact(wanted.question),
        wanted.importance,
        _shared_options(wanted.options, private),
    )


def _shared_options(options: Collection[str], private: Collection[str]) -> tuple[str, ...]:
    kept = tuple(redact(option) for option in options if not set(stems(option)) & set(private))
    return kept if len(kept) > 1 else ()


def _private(asked: Interaction) -> frozenset[str]:
    """Stems of all that this user said or had on record when the question was put."""
    context = asked.answer.get("context", {})
    texts = [
        asked.input_text,
        *(str(memory.get("text", "")) for memory in context.get("memories", ())),
        *(str(facet.get("value", "")) for facet in context.get("facets", ())),
        *(str(turn.get("content", "")) for turn in asked.record.get("conversation", ())),
        *_strings(asked.record.get("context", {})),
    ]
    return frozenset(stem for text in texts for stem in stems(text))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)
    elif value is not None:
        yield str(value)


def _id(*parts: str) -> str:
    return blake2b("\n".join(parts).encode("utf-8", "replace"), digest_size=12).hexdigest()
