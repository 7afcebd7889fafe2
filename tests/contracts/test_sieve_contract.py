"""A model's questions are held to the same rules as ours: nothing answered, nothing in another language."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from app.clients.embedding.http import HTTPEmbedder
from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import Call, Completion, GenerateHypotheses, SLMClient, Summarize
from app.clients.slm.http import HTTPClient
from app.clients.slm.vllm import VLLMClient
from app.clients.slm.wrappers.sieve import Sieve
from app.models import Confidence, Hypothesis, Turn
from tests.fake_embeddings import FakeEmbeddings
from tests.fake_vllm import BASE, FakeVLLM
from tests.scripted import Scripted

URL = "http://backend/v1"
ASK = GenerateHypotheses("Plan something for me", count=2)
"""The fake asks for the goal and for the audience."""


@pytest.fixture(params=[HTTPClient, VLLMClient])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[SLMClient]:
    backend = request.param(URL, BASE, transport=httpx.ASGITransport(app=FakeVLLM()))
    made = Sieve(backend, StaticEmbedder())
    yield made
    await made.aclose()


async def details(client: SLMClient, task: GenerateHypotheses) -> list[str]:
    """What run asks for; a stream must ask for the same."""
    done = await client.run(task, Call())
    assert not done.degraded
    *shown, last = [event async for event in client.stream(task, Call())]
    assert isinstance(last, Completion)
    found = [one.detail for one in done.value]
    assert [one.detail for one in last.value] == found
    assert shown == last.value
    return found


async def test_what_nothing_answers_is_asked(client: SLMClient) -> None:
    assert await details(client, ASK) == ["goal", "audience"]
    assert await details(client, replace(ASK, context={"weather": "fine"})) == ["goal", "audience"]


@pytest.mark.parametrize(
    "answered",
    [
        {"context": {"goal": "a quiet week"}},
        {"conversation": (Turn("user", "My goal is a quiet week."),)},
        {"conversation": (Turn("assistant", "What is your goal?"), Turn("user", "A quiet week."))},
        {"asked": ("What is the goal?",)},
        {"user_input": "Plan something with a quiet week as the goal"},
    ],
)
async def test_what_is_answered_is_not_asked(client: SLMClient, answered: Any) -> None:
    assert await details(client, replace(ASK, **answered)) == ["audience"]


@pytest.mark.parametrize("text", ["Erstelle einen Plan für mich", "Bewerbung schreiben", "旅行を計画して"])
async def test_another_language_gets_no_english_question(client: SLMClient, text: str) -> None:
    assert await details(client, replace(ASK, user_input=text)) == []


async def test_questions_in_the_language_of_the_request_pass() -> None:
    german = Hypothesis("1", "Ziel", "Was ist das Ziel?", "", 2, (), Confidence(0.5), "scripted")
    english = replace(german, id="2", detail="goal", question="What is your goal?")
    sieve = Sieve(Telling(german, english), StaticEmbedder())
    asked = (await sieve.run(GenerateHypotheses("Plane eine Reise für mich"), Call())).value
    assert asked == [german]
    assert (await sieve.run(GenerateHypotheses("Plan a trip for me"), Call())).value == [english]


async def test_the_kind_of_what_the_request_names_is_still_open() -> None:
    kind = Hypothesis("1", "type of API", "Which style of API do you want?", "", 2, (), Confidence(0.5), "s")
    sieve = Sieve(Telling(kind), StaticEmbedder())
    assert (await sieve.run(GenerateHypotheses("build api"), Call())).value == [kind]


async def test_a_dead_embedder_leaves_words_to_decide() -> None:
    goal = Hypothesis("1", "goal", "What is your goal?", "", 2, (), Confidence(0.5), "s")
    server = FakeEmbeddings()
    server.away = True
    embedder = HTTPEmbedder("http://e/v1", "m", transport=httpx.ASGITransport(app=server))
    sieve = Sieve(Telling(goal), embedder)
    assert (await sieve.run(GenerateHypotheses("Plan a trip"), Call())).value == [goal]
    said = GenerateHypotheses("Plan a trip", conversation=(Turn("user", "the goal is rest"),))
    assert (await sieve.run(said, Call())).value == []
    assert server.requests
    await embedder.aclose()


async def test_other_tasks_go_through() -> None:
    assert (await Sieve(Scripted(), StaticEmbedder()).run(Summarize("text"), Call())).value == "scripted"


class Telling(Scripted):
    """Answers with the hypotheses it was given."""

    def __init__(self, *told: Hypothesis) -> None:
        super().__init__()
        self._told = list(told)

    async def run(self, task: Any, call: Call) -> Completion[Any]:
        return Completion(self._told, self.name, "m")
