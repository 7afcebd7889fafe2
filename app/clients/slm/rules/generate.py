"""GenerateHypotheses by rule: from the examples a task carries, then from the form of the request."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from app.clients.embedding.base import Embedder
from app.clients.slm.base import FollowupQuestions, GenerateHypotheses
from app.clients.slm.rules.bags import bag
from app.clients.slm.rules.by_form import Open, open_points
from app.clients.slm.rules.concerns import Concern, Concerns
from app.clients.slm.rules.known import Known
from app.clients.slm.rules.language import ENGLISH
from app.clients.slm.rules.phrasing import phrase
from app.clients.slm.rules.request import Request
from app.clients.slm.rules.selection import select
from app.clients.slm.rules.spoken import language_of_example, spoken_in
from app.clients.slm.rules.statement import statement
from app.clients.slm.rules.wording import opening
from app.models import Confidence, Example, Hypothesis
from app.text import words

PRODUCER = "local"
_STRANGE, _FAINT = 0.15, 0.27
"""Mean similarities of the three nearest examples: below the first they speak of something else, and
below the second too if none of them ever speaks of the object of the request."""
_BY_FORM = 0.05
"""The raw score of a question by form, of importance 3: below those that examples speak for."""
_ALIKE = 0.5
"""Cosine above which a topic by form repeats a concern."""
_REQUEST_KEYS = ("input_text", "user_input", "request", "query")


async def generate(task: GenerateHypotheses, request_id: str, embedder: Embedder) -> list[Hypothesis]:
    """At most `task.count`, the most worth asking first; none in a language that nothing here speaks."""
    if not words(task.user_input):
        return []
    spoken = spoken_in(task)
    english = spoken == ENGLISH
    examples = [e for e in task.examples if spoken == (language_of_example(e) or ENGLISH)]
    read, said = Request.read(task.user_input), bag(task.user_input)
    examples = [e for e in examples if not _means_otherwise(read, said, e)]
    known = await Known.of(task, embedder)
    chosen: list[Concern] = []
    if _speak_of(task.user_input, examples):
        chosen = select(await Concerns.of(task.user_input, examples, embedder), known, task.count)
    answer, taken = [], set[str]()
    for concern in chosen:
        member = concern.members[0]
        question = member.detail.question
        if english:
            question, member = phrase(concern, taken)
        taken.add(opening(question))
        answer.append(_from_concern(task, request_id, concern, question, concern.options(member)))
    if len(answer) < task.count and english:
        points = await _points(task.user_input, known, chosen, embedder)
        answer += [_from_form(task, request_id, p) for p in points if opening(p.question) not in taken]
    return answer[: task.count]


async def followups(task: FollowupQuestions, embedder: Embedder) -> list[str]:
    """The questions of `generate` for the request that the context holds; the persona counts as context."""
    request = next((str(task.context[key]) for key in _REQUEST_KEYS if task.context.get(key)), "")
    if not request:
        request = ". ".join(str(value) for value in task.context.values() if isinstance(value, str))
    known = {facet.name: facet.value for facet in task.facets}
    known |= {key: value for key, value in task.context.items() if str(value) != request}
    asked = GenerateHypotheses(request, known, examples=task.examples, count=task.count)
    return [hypothesis.question for hypothesis in await generate(asked, "", embedder)]


def _means_otherwise(request: Request, said: frozenset[str], example: Example) -> bool:
    """Whether an example has only the verb of a request, faintly or as a noun: "book a flight", "a book"."""
    shared = said & bag(example.text or "")
    if not shared or not shared <= bag(request.verb):
        return False
    faint = bool(request.object) and example.similarity < _FAINT
    return faint or not bag(Request.read(example.text or "").verb) & shared


def _speak_of(request: str, examples: Sequence[Example]) -> bool:
    """Whether the examples are about this request at all, and not only alike in their verb.

    An example without its text was found by meaning alone, where verbs count for little.
    """
    nearest = sorted((example.similarity for example in examples), reverse=True)[:3]
    strength = sum(nearest) / max(1, len(nearest))
    thing = bag(Request.read(request).object) or bag(request)
    return strength >= _FAINT or (
        strength >= _STRANGE and any(one.text is None or thing & bag(one.text) for one in examples)
    )


async def _points(request: str, known: Known, chosen: list[Concern], embedder: Embedder) -> list[Open]:
    """What the form leaves open and nobody has said or is about to be asked."""
    points = open_points(request)
    topics = await embedder.embed([point.topic for point in points])
    return [
        point
        for point, vector in zip(points, topics, strict=True)
        if not known.settles(point.topic, vector, point.options, (point.question,))
        and all(float(vector @ concern.topic_vector) < _ALIKE for concern in chosen)
    ]


def _from_concern(
    task: GenerateHypotheses, request_id: str, concern: Concern, question: str, options: tuple[str, ...]
) -> Hypothesis:
    return Hypothesis(
        id=_id(request_id, task.user_input, question),
        detail=concern.topic,
        question=question,
        statement=statement(task.user_input, concern.topic),
        importance=concern.importance,
        options=options,
        confidence=Confidence(round(concern.score, 4)),
        producer=PRODUCER,
    )


def _from_form(task: GenerateHypotheses, request_id: str, point: Open) -> Hypothesis:
    return Hypothesis(
        id=_id(request_id, task.user_input, point.question),
        detail=point.topic,
        question=point.question,
        statement=statement(task.user_input, point.topic),
        importance=point.importance,
        options=point.options,
        confidence=Confidence(round(_BY_FORM * point.importance / 3, 4)),
        producer=PRODUCER,
    )


def _id(*parts: str) -> str:
    """The same for the same question to the same request, and for no other."""
    return blake2b("\n".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()
