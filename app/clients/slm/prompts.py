"""The one room of prompts: a task becomes chat messages and the schema of its answer.

The order is the same everywhere, so that a server's prefix cache hits: the instructions, which never
change, then the examples, then what changes slowly, and the request last. No ids and no times.
Whatever a person wrote stands in the last message as JSON, which the instructions declare to be data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from app.clients.slm import instructions, schemas
from app.clients.slm.base import (
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    Summarize,
    Task,
    UpdateFacets,
)
from app.clients.slm.quoting import Budget, quoted
from app.clients.slm.schemas import Schema
from app.clients.slm.shots import question_shots
from app.errors import NotSupported
from app.models import Facet, Turn
from app.tokens import estimate, head

PROMPT_VERSION = "1"
"""Changes with every change of wording; calibrations and datasets are kept apart by it."""

PROMPT_TOKENS = 2816
"""The longest prompt, by tokens.estimate, which counts rather too many. With the longest answer it fits into
the 4096 tokens that start_vllm.sh gives a model."""

LEAST_PROMPT_TOKENS = 640
"""The longest instructions and a short request."""

Message = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent for a task; `schema` is None where the answer is plain text."""

    messages: tuple[Message, ...]
    name: str
    schema: Schema | None = None


def render(task: Task[Any], budget: int = PROMPT_TOKENS) -> Prompt:
    """The prompt of `task`, at most `budget` tokens long; NotSupported where no prompt does the task."""
    renderer = _RENDERERS.get(type(task))
    if renderer is None:
        raise NotSupported(f"No prompt does {type(task).__name__}.")
    return renderer(task, budget)


def recorded(task: GenerateHypotheses, budget: int = PROMPT_TOKENS) -> dict[str, Any]:
    """What a model would have been asked: `version` and `messages`, in JSON types."""
    return {
        "version": PROMPT_VERSION,
        "messages": [dict(message) for message in render(task, budget).messages],
    }


def repair(messages: tuple[Message, ...], broken: str) -> tuple[Message, ...]:
    """The same again, with the broken answer and what is wrong with it; plainly again where it was empty."""
    if not broken.strip():
        return messages
    return (*messages, message("assistant", head(broken, 600)), message("user", instructions.REPAIR))


def message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def context_lines(room: Budget, context: Mapping[str, Any], share: int = 300) -> list[str]:
    """A line for each key, as far as they fit."""
    return room.lines((f"{key}: {_flat(value)}" for key, value in context.items()), share)


def turn_lines(room: Budget, conversation: tuple[Turn, ...]) -> list[str]:
    """The latest turns that fit, oldest first."""
    latest = (f"{turn.role}: {turn.content}" for turn in reversed(conversation))
    return room.lines(latest, 300)[::-1]


def _generate(task: GenerateHypotheses, budget: int) -> Prompt:
    room = _room(instructions.GENERATE, budget)
    request = room.text(task.user_input, room.left // 2)
    asked = room.lines(task.asked, 200, 60)
    facets = room.lines(map(_facet_line, task.facets), 200, 60)
    turns = turn_lines(room, task.conversation)
    shots, hints = question_shots(task.examples, task.user_input, task.count, room)
    context = context_lines(room, task.context)
    memories = room.lines(task.memories, 300)
    data = {
        "persona": facets,
        "memories": memories,
        "context": context,
        "often_open": hints,
        "conversation": turns,
        "already_asked": asked,
        "count": task.count,
        "request": request,
    }
    return _prompt(
        instructions.GENERATE,
        data,
        "hypotheses",
        schemas.hypotheses(task.count),
        keep=("count", "request"),
        shots=shots,
    )


def _summarize(task: Summarize, budget: int) -> Prompt:
    room = _room(instructions.SUMMARIZE, budget)
    data = {"words": max(5, task.max_tokens * 2 // 3), "text": room.text(task.text, room.left)}
    return _prompt(instructions.SUMMARIZE, data, "summary", None)


def _enrich(task: EnrichContext, budget: int) -> Prompt:
    room = _room(instructions.ENRICH, budget)
    request = room.text(task.user_input, room.left // 2)
    data = {"context": context_lines(room, task.context), "request": request}
    return _prompt(instructions.ENRICH, data, "enrichment", schemas.enrichment(), keep=("request",))


def _followups(task: FollowupQuestions, budget: int) -> Prompt:
    room = _room(instructions.FOLLOWUPS, budget)
    context = context_lines(room, task.context, room.left // 2)
    facets = room.lines(map(_facet_line, task.facets), 300, 60)
    details = (one.description for example in task.examples for one in example.details)
    hints = room.lines(dict.fromkeys(details), 120, 20)
    data = {"persona": facets, "often_open": hints, "context": context, "count": task.count}
    return _prompt(instructions.FOLLOWUPS, data, "questions", schemas.questions(task.count), keep=("count",))


def _facets(task: UpdateFacets, budget: int) -> Prompt:
    room = _room(instructions.FACETS, budget)
    selected = room.text(task.selected, 300)
    request = room.text(task.input_text, room.left // 2)
    options = room.lines(task.options, 300, 60)
    data = {
        "persona": room.lines(map(_facet_line, task.facets), 300, 60),
        "request": request,
        "options": options,
        "selected": selected,
    }
    return _prompt(instructions.FACETS, data, "facets", schemas.facets(), keep=("request", "selected"))


def _prompt(
    instruction: str,
    data: Mapping[str, Any],
    name: str,
    schema: Schema | None,
    *,
    keep: tuple[str, ...] = (),
    shots: tuple[Message, ...] = (),
) -> Prompt:
    said = {key: value for key, value in data.items() if value or key in keep}
    return Prompt((message("system", instruction), *shots, message("user", quoted(said))), name, schema)


def _room(instruction: str, budget: int) -> Budget:
    """What the instructions leave, less the signs of the template and the keys of the JSON."""
    return Budget(budget - estimate(instruction) - 100)


def _flat(value: object) -> str:
    return value if isinstance(value, str) else quoted(value)


def _facet_line(facet: Facet) -> str:
    return f"{facet.name}: {facet.value}"


_RENDERERS = cast(
    "Mapping[type[Task[Any]], Callable[[Task[Any], int], Prompt]]",
    {
        GenerateHypotheses: _generate,
        Summarize: _summarize,
        EnrichContext: _enrich,
        FollowupQuestions: _followups,
        UpdateFacets: _facets,
    },
)
