"""What every backend promises, alone and behind its wrappers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest
from prometheus_client import CollectorRegistry

from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import (
    Call,
    Completion,
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    JudgeClarity,
    ScoreRelevance,
    SLMClient,
    Summarize,
    UpdateFacets,
)
from app.clients.slm.http import HTTPClient
from app.clients.slm.local import LocalClient
from app.clients.slm.vllm import VLLMClient
from app.clients.slm.wrappers import compose
from app.errors import BackendTimeout, UnknownAdapter
from app.metrics import BackendMetrics
from app.models import Detail, Enrichment, Example, FacetChange, Hypothesis
from app.tokens import estimate
from tests.fake_vllm import BASE, FakeVLLM

URL = "http://backend/v1"
KINDS = ["local", "http", "vllm", "composed"]
EXAMPLES = tuple(
    Example(
        id=str(index),
        similarity=0.8 - index / 10,
        text=text,
        vague=True,
        details=(
            Detail("programming language", "Which programming language?", 3.0, ("Python", "Go")),
            Detail("database", "Which database should it use?", 2.0, ("PostgreSQL", "SQLite")),
            Detail("authentication", "How do its users sign in?", 2.0, ("OAuth", "API keys")),
            Detail("hosting", "Where will it run?", 1.0, ("AWS", "on premises")),
        ),
    )
    for index, text in enumerate(("build an api", "write a web service", "make a backend for my app"))
)


def make(kind: str) -> SLMClient:
    local = LocalClient(StaticEmbedder())
    fake = httpx.ASGITransport(app=FakeVLLM(adapters={"known": "/adapters/known"}))
    match kind:
        case "local":
            return local
        case "http":
            return HTTPClient(URL, BASE, transport=fake)
        case "vllm":
            return VLLMClient(URL, BASE, transport=fake)
        case _:
            return compose(VLLMClient(URL, BASE, transport=fake), local, BackendMetrics(CollectorRegistry()))


@pytest.fixture(params=KINDS)
async def client(request: pytest.FixtureRequest) -> AsyncIterator[SLMClient]:
    made = make(request.param)
    yield made
    await made.aclose()


@pytest.mark.parametrize("count", [1, 3, 5])
async def test_hypotheses_are_questions_at_most_count_and_all_different(
    client: SLMClient, count: int
) -> None:
    done = await client.run(GenerateHypotheses("build api", examples=EXAMPLES, count=count), Call())

    assert 1 <= len(done.value) <= count
    assert len({one.id for one in done.value}) == len({one.question for one in done.value}) == len(done.value)
    for one in done.value:
        assert one.question.endswith("?")
        assert one.detail and one.statement
        assert one.importance in {1, 2, 3}
        assert all(isinstance(option, str) and option for option in one.options)
        assert 0 <= one.confidence.raw <= 1
        assert one.confidence.calibrated is None
        assert one.producer == done.producer


async def test_what_was_asked_is_not_asked_again(client: SLMClient) -> None:
    task = GenerateHypotheses("build api", examples=EXAMPLES, count=1)
    first = (await client.run(task, Call())).value[0]

    second = await client.run(replace(task, asked=(first.question,), count=3), Call())

    assert first.question not in {one.question for one in second.value}


async def test_a_stream_says_what_run_says_and_the_completion_comes_last(client: SLMClient) -> None:
    task = GenerateHypotheses("build api", examples=EXAMPLES)
    whole = await client.run(task, Call())

    events = [event async for event in client.stream(task, Call())]

    done = events.pop()
    assert isinstance(done, Completion)
    assert done.value == events
    assert [essence(cast("Hypothesis", one)) for one in events] == [essence(one) for one in whole.value]
    assert (done.producer, done.model, done.degraded) == (whole.producer, whole.model, whole.degraded)


async def test_a_stream_may_be_left_after_its_first_event(client: SLMClient) -> None:
    events = client.stream(GenerateHypotheses("build api", examples=EXAMPLES), Call())
    async with aclosing(cast("Any", events)) as stream:
        assert isinstance(await anext(stream), Hypothesis)
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_clarity_is_a_probability(client: SLMClient) -> None:
    done = await client.run(JudgeClarity("build api", examples=EXAMPLES), Call())
    assert 0 <= done.value <= 1


async def test_relevance_comes_in_the_order_of_the_candidates(client: SLMClient) -> None:
    candidates = ("bananas are yellow fruit", "Ann drives a red car", "the car of Ann is a red Volvo")

    done = await client.run(ScoreRelevance("which red car does Ann drive", candidates), Call())

    assert len(done.value) == 3
    assert all(0 <= score <= 1 for score in done.value)
    assert min(done.value[1:]) > done.value[0]


async def test_no_candidates_have_no_scores(client: SLMClient) -> None:
    assert (await client.run(ScoreRelevance("anything", ()), Call())).value == []


@pytest.mark.parametrize("budget", [8, 40, 200])
async def test_a_summary_keeps_its_budget(client: SLMClient, budget: int) -> None:
    text = "The bridge was built in 1900. It crosses the river Aare. Ann wants to paint it red. " * 12

    done = await client.run(Summarize(text, budget), Call())

    assert 0 < len(done.value.split()) <= budget
    assert estimate(done.value) <= budget * 2


async def test_an_enrichment_is_made_of_lines(client: SLMClient) -> None:
    done = await client.run(EnrichContext("build api", {"team": "two beginners"}), Call())
    assert isinstance(done.value, Enrichment)
    assert done.value.expertise_level in {"beginner", "intermediate", "expert", "unknown"}


async def test_followups_are_distinct_questions(client: SLMClient) -> None:
    task = FollowupQuestions({"project": "a web api"}, examples=EXAMPLES, count=2)
    questions = (await client.run(task, Call())).value
    assert 1 <= len(questions) <= 2
    assert len(set(questions)) == len(questions)
    assert all(question.endswith("?") for question in questions)


async def test_facet_changes_prefer_what_was_selected(client: SLMClient) -> None:
    done = await client.run(UpdateFacets("Which language?", "Python", ("Python", "Go")), Call())
    assert all(isinstance(change, FacetChange) and 0 <= change.confidence <= 1 for change in done.value)
    assert all("Python" not in change.rejected for change in done.value)


async def test_the_calls_that_users_know(client: Any) -> None:
    assert await client.generate_hypotheses("build api", {"deadline": "Friday"}, count=2) is not None
    assert isinstance(await client.summarize("One thing. Another thing.", 20), str)
    enriched = await client.enrich_context("build api", {})
    assert enriched.keys() == {"implicit_goals", "expertise_level", "next_steps"}
    assert isinstance(await client.generate_followup_questions({"project": "api"}, {"os": "Linux"}), list)


async def test_ping_tells_that_all_is_well(client: SLMClient) -> None:
    health = await client.ping()
    assert health.ok, health.detail
    assert health.model


@pytest.mark.parametrize("kind", ["http", "vllm"])
@pytest.mark.parametrize("task", [GenerateHypotheses("x"), JudgeClarity("x"), ScoreRelevance("x", ("y",))])
async def test_a_server_is_not_asked_when_no_time_is_left(kind: str, task: Any) -> None:
    client = make(kind)
    with pytest.raises(BackendTimeout):
        await client.run(task, Call(deadline=0.0))
    await client.aclose()


@pytest.mark.parametrize("kind", ["http", "vllm"])
@pytest.mark.parametrize("task", [GenerateHypotheses("x"), JudgeClarity("x"), ScoreRelevance("x", ("y",))])
async def test_an_unknown_adapter_is_never_answered_without_it(kind: str, task: Any) -> None:
    client = make(kind)
    with pytest.raises(UnknownAdapter):
        await client.run(task, Call(adapter="unheard-of"))
    await client.aclose()


async def test_the_composed_stack_answers_without_an_adapter_that_an_arm_chose() -> None:
    client = make("composed")
    done = await client.run(GenerateHypotheses("build api", examples=EXAMPLES), Call(adapter="unheard-of"))
    assert (done.degraded, done.reason, done.producer) == (True, "unknown-adapter", "local")
    await client.aclose()


async def test_the_composed_stack_refuses_an_adapter_that_the_caller_named() -> None:
    client = make("composed")
    call = Call(adapter="unheard-of", adapter_required=True)
    with pytest.raises(UnknownAdapter):
        await client.run(GenerateHypotheses("build api"), call)
    with pytest.raises(UnknownAdapter):
        await anext(client.stream(GenerateHypotheses("build api"), call))
    await client.aclose()


async def test_the_composed_stack_answers_by_local_when_the_deadline_has_passed() -> None:
    client = make("composed")
    done = await client.run(GenerateHypotheses("build api", examples=EXAMPLES), Call(deadline=0.0))
    assert (done.reason, done.producer) == ("backend-timeout", "local")
    await client.aclose()


def essence(one: Hypothesis) -> tuple[object, ...]:
    return one.detail, one.question, one.statement, one.importance, one.options, one.confidence
