"""What the vllm backend promises, on a live vLLM with a small model and two adapters."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.clients.slm.base import (
    Call,
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    JudgeClarity,
    ScoreRelevance,
    Summarize,
    Task,
    UpdateFacets,
)
from app.clients.slm.replicas import VLLMReplica
from app.clients.slm.vllm import VLLMClient
from app.errors import UnknownAdapter
from app.models import Adapter, Enrichment, FacetChange, Hypothesis
from tests.real.conftest import SHORT, CountingTransport
from tests.real.vllm_server import VLLMServer

pytestmark = pytest.mark.vllm

QUERY = "Which language do I like for programming?"
MEMORIES = (
    "The weather was rainy on Tuesday.",
    "I write all my programs in the Python language.",
    "My cat sleeps on the sofa.",
)
MINUTES = (
    "The team met on Monday. They talked about the launch in May and about the budget of 20,000 euros. "
    "Anna leads the launch. Ben writes the documentation. They meet again on Friday to decide on the logo."
)


def call(adapter: str | None = None) -> Call:
    return Call(adapter=adapter, deadline=time.monotonic() + 120)


def chat(server: VLLMServer, model: str, **more: Any) -> str:
    """The plain protocol, without our client."""
    body = {"model": model, "messages": [{"role": "user", "content": "build api"}], "temperature": 0}
    answer = httpx.post(
        f"{server.base_url}/chat/completions", json=body | {"max_tokens": 24} | more, timeout=120
    )
    text: str = answer.raise_for_status().json()["choices"][0]["message"]["content"]
    return text


def tokens(server: VLLMServer, text: str) -> int:
    body = {"model": server.model, "prompt": text, "add_special_tokens": False}
    counted: int = httpx.post(f"{server.root_url}/tokenize", json=body, timeout=30).json()["count"]
    return counted


async def test_ping_tells_version_model_and_adapters(client: VLLMClient, vllm_server: VLLMServer) -> None:
    health = await client.ping()
    assert health.ok, health.detail
    assert health.version == "0.32.0"
    assert set(health.adapters) == set(vllm_server.adapters)


def is_hypotheses(value: Any) -> bool:
    return bool(value) and all(isinstance(one, Hypothesis) and one.question for one in value)


def is_probability(value: Any) -> bool:
    return isinstance(value, float) and 0 <= value <= 1


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def is_questions(value: Any) -> bool:
    return bool(value) and all(is_text(one) for one in value)


@pytest.mark.parametrize(
    ("task", "is_answer"),
    [
        (GenerateHypotheses("build api", count=1), is_hypotheses),
        (JudgeClarity("build api"), is_probability),
        (Summarize(MINUTES, 40), is_text),
        (EnrichContext("build api", {"team": "backend"}), lambda value: isinstance(value, Enrichment)),
        (FollowupQuestions({"request": "plan a trip"}, count=2), is_questions),
        (ScoreRelevance(QUERY, MEMORIES), lambda value: len(value) == 3 and all(map(is_probability, value))),
        (
            UpdateFacets("Which language?", "Python", ("Python", "Go")),
            lambda value: all(isinstance(one, FacetChange) for one in value),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Task) else "",
)
async def test_every_task_of_the_seam(client: VLLMClient, task: Task[Any], is_answer: Any) -> None:
    completion = await client.run(task, call())
    assert is_answer(completion.value), completion
    assert completion.producer == "vllm"
    assert completion.usage.prompt_tokens > 0
    assert not completion.degraded


def test_base_and_adapters_answer_differently(vllm_server: VLLMServer) -> None:
    models = (vllm_server.model, *vllm_server.adapters)
    assert len({chat(vllm_server, model) for model in models}) == 3


def test_a_lora_name_in_the_body_changes_nothing(vllm_server: VLLMServer) -> None:
    adapter = vllm_server.adapter("assumptions")
    base = chat(vllm_server, vllm_server.model)
    assert chat(vllm_server, vllm_server.model, lora_name=adapter) == base
    assert chat(vllm_server, adapter) != base


async def test_the_call_chooses_the_adapter(client: VLLMClient, vllm_server: VLLMServer) -> None:
    adapter = vllm_server.adapter("assumptions")
    task = Summarize(MINUTES, 40)
    plain = await client.run(task, call())
    adapted = await client.run(task, call(adapter))
    assert (plain.adapter, adapted.adapter) == (None, adapter)
    assert adapted.value.startswith("I assume")
    assert adapted.value != plain.value
    bound = await client.with_lora(adapter).run(task, call())
    assert bound.value == adapted.value


async def test_an_adapter_answers_in_the_schema(client: VLLMClient, vllm_server: VLLMServer) -> None:
    adapter = vllm_server.adapter("questions")
    completion = await client.run(GenerateHypotheses("build api", count=1), call(adapter))
    assert is_hypotheses(completion.value)
    assert completion.adapter == adapter


async def test_hypotheses_stream_and_end_with_the_completion(client: VLLMClient) -> None:
    events = [event async for event in client.stream(GenerateHypotheses("build api", count=1), call())]
    *hypotheses, completion = events
    assert is_hypotheses(hypotheses)
    assert not isinstance(completion, Hypothesis)
    assert completion.value == hypotheses


async def test_warmup_goes_through_the_bound_adapter(client: VLLMClient, vllm_server: VLLMServer) -> None:
    await client.with_lora(vllm_server.adapter("questions")).warmup()
    with pytest.raises(UnknownAdapter):
        await client.with_lora("no-such-adapter").warmup()


@pytest.mark.parametrize("task", [Summarize(MINUTES, 40), ScoreRelevance(QUERY, MEMORIES)])
async def test_an_unknown_adapter_is_never_the_base_model(client: VLLMClient, task: Task[Any]) -> None:
    with pytest.raises(UnknownAdapter):
        await client.run(task, call("no-such-adapter"))


async def test_a_relevant_memory_comes_first_in_one_round_trip(vllm_server: VLLMServer) -> None:
    transport = CountingTransport()
    client = VLLMClient(
        vllm_server.base_url, vllm_server.model, timeout=120.0, transport=transport, sampling=SHORT
    )
    try:
        await client.run(ScoreRelevance("warm up", ("the label tokens",)), call())
        transport.sent.clear()
        completion = await client.run(ScoreRelevance(QUERY, MEMORIES), call())
    finally:
        await client.aclose()
    assert transport.sent == {"/generative_scoring": 1}
    weather, python, cat = completion.value
    assert python > max(weather, cat)


@pytest.mark.parametrize("budget", [12, 40])
async def test_a_summary_keeps_its_token_budget(
    client: VLLMClient, vllm_server: VLLMServer, budget: int
) -> None:
    completion = await client.run(Summarize(MINUTES * 5, budget), call())
    counted = tokens(vllm_server, completion.value)
    assert 0 < counted <= budget


async def test_an_adapter_is_loaded_and_unloaded_while_the_server_runs(
    client: VLLMClient, vllm_server: VLLMServer, tmp_path: Path
) -> None:
    source = vllm_server.adapters[vllm_server.adapter("assumptions")]
    path = shutil.copytree(source, tmp_path / "loaded-later")
    adapter = Adapter("loaded-later", str(path), vllm_server.model, 8)
    replica = VLLMReplica(vllm_server.root_url)
    try:
        await replica.load(adapter)
        await replica.load(adapter)
        assert adapter.name in await replica.loaded()
        task = Summarize(MINUTES, 40)
        assert (await client.run(task, call(adapter.name))).value == (
            await client.run(task, call(source.name))
        ).value
        await replica.unload(adapter.name)
        assert adapter.name not in await replica.loaded()
    finally:
        await replica.aclose()
    with pytest.raises(UnknownAdapter):
        await client.run(task, call(adapter.name))
