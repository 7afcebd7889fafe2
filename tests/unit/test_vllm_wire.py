"""The exact JSON that goes over the wire, read by respx at the transport."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import respx

from app.clients.slm.base import (
    Call,
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    JudgeClarity,
    ScoreRelevance,
    Summarize,
    UpdateFacets,
)
from app.clients.slm.sampling import Sampling, SamplingTable
from app.clients.slm.vllm import VLLMClient
from app.errors import BackendRejected, UnknownAdapter
from tests.fake_vllm import FakeVLLM
from tests.nouns import a_facet

BASE = "base-model"
URL = "http://vllm.test:8000/v1"
ASK = GenerateHypotheses("build api")
WORDS: list[Any] = [
    ASK,
    Summarize("A long text."),
    EnrichContext("build api"),
    FollowupQuestions({"project": "api"}),
]


@pytest.fixture
def wire() -> Any:
    """Every request to the server's address ends in the fake, and is recorded."""
    fake = FakeVLLM(model=BASE, adapters={"adapter-a": "/a", "adapter-b": "/b"})
    asgi = httpx.ASGITransport(app=fake)
    with respx.mock(base_url="http://vllm.test:8000") as router:
        router.route().mock(side_effect=asgi.handle_async_request)
        yield router


async def sent(
    wire: Any, client: VLLMClient, task: Any = ASK, call: Call | None = None
) -> list[dict[str, Any]]:
    await client.run(task, call or Call())
    await client.aclose()
    return [json.loads(one.request.content) for one in wire.calls]


async def test_the_exact_body_and_headers_of_a_generation(wire: Any) -> None:
    table: SamplingTable = {GenerateHypotheses: Sampling(0.4, 0.8, 333)}
    client = VLLMClient(URL, BASE, api_key="secret", sampling=table)
    call = Call(tenant="acme", request_id="r-1", session_id="s-1")

    (body,) = await sent(wire, client, call=call)

    assert body.keys() == {
        "model", "messages", "temperature", "top_p", "max_tokens", "response_format", "cache_salt",
    }  # fmt: skip
    assert (body["model"], body["temperature"], body["top_p"], body["max_tokens"]) == (BASE, 0.4, 0.8, 333)
    assert [one["role"] for one in body["messages"]] == ["system", "user"]
    assert json.loads(body["messages"][1]["content"]) == {"count": 3, "request": "build api"}
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["schema"]["properties"]["hypotheses"]["minItems"] == 3
    headers = wire.calls[0].request.headers
    assert headers["authorization"] == "Bearer secret"
    assert (headers["x-request-id"], headers["x-session-id"]) == ("r-1", "s-1")


@pytest.mark.parametrize("task", WORDS)
async def test_sampling_is_always_sent(wire: Any, task: Any) -> None:
    for body in await sent(wire, VLLMClient(URL, BASE), task):
        assert {"temperature", "top_p", "max_tokens"} <= body.keys()


@pytest.mark.parametrize(
    ("bound", "asked", "model"),
    [
        (None, None, BASE),
        ("adapter-a", None, "adapter-a"),
        (None, "adapter-b", "adapter-b"),
        ("adapter-a", "adapter-b", "adapter-b"),
        ("adapter-a", BASE, BASE),
    ],
)
@pytest.mark.parametrize(
    "task", [*WORDS, JudgeClarity("x"), ScoreRelevance("x", ("y",)), UpdateFacets("x", "y")]
)
async def test_the_adapter_is_the_model_and_lora_name_is_never_sent(
    wire: Any, task: Any, bound: str | None, asked: str | None, model: str
) -> None:
    client = VLLMClient(URL, BASE, lora_name=bound)
    done = await client.run(task, Call(adapter=asked))
    await client.aclose()

    bodies = [json.loads(one.request.content) for one in wire.calls]
    assert {body["model"] for body in bodies if "model" in body} == {model}
    assert not [body for body in bodies if "lora_name" in body]
    assert done.adapter == (None if model == BASE else model)


async def test_with_lora_is_a_view_on_the_same_connections(wire: Any) -> None:
    client = VLLMClient(URL, BASE, lora_name="adapter-a")
    bound, base = client.with_lora("adapter-b"), client.with_lora(None)
    for view in (client, bound, base):
        await view.run(ASK, Call())
    await bound.aclose()

    models = [json.loads(one.request.content)["model"] for one in wire.calls]
    assert models == ["adapter-a", "adapter-b", BASE]
    assert client._server is bound._server is base._server


async def test_warmup_asks_one_token_of_the_bound_adapter(wire: Any) -> None:
    client = VLLMClient(URL, BASE, lora_name="adapter-a")
    await client.warmup()
    await client.aclose()
    body = json.loads(wire.calls[0].request.content)
    assert (body["model"], body["max_tokens"]) == ("adapter-a", 1)


async def test_warmup_of_a_missing_adapter_is_an_error(wire: Any) -> None:
    client = VLLMClient(URL, BASE, lora_name="gone")
    with pytest.raises(UnknownAdapter, match="gone"):
        await client.warmup()
    await client.aclose()


async def test_a_wrong_base_model_is_not_taken_for_an_adapter(wire: Any) -> None:
    client = VLLMClient(URL, "another-model")
    with pytest.raises(BackendRejected, match="does not exist"):
        await client.run(ASK, Call())
    await client.aclose()


async def test_each_tenant_has_its_own_salt_that_vllm_accepts(wire: Any) -> None:
    client = VLLMClient(URL, BASE)
    for tenant in ("default", "acme", "acme"):
        await client.run(ASK, Call(tenant=tenant))
    await client.aclose()
    salts = [json.loads(one.request.content)["cache_salt"] for one in wire.calls]
    assert salts[0] != salts[1] == salts[2]
    assert all(
        len(base64.urlsafe_b64decode(salt + "=")) == 32 and not set(salt) & set("@/\\\0") for salt in salts
    )


async def test_relevance_is_one_round_trip_once_the_labels_are_known(wire: Any) -> None:
    client = VLLMClient(URL, BASE)
    texts = tuple(f"text {index}" for index in range(20))
    for _ in range(2):
        await client.run(ScoreRelevance("query", texts), Call())
    await client.aclose()

    paths = [one.request.url.path for one in wire.calls]
    assert paths == ["/tokenize", "/tokenize", "/generative_scoring", "/generative_scoring"]
    body = json.loads(wire.calls[-1].request.content)
    assert body.keys() == {"model", "query", "items", "label_token_ids", "cache_salt"}
    assert len(body["items"]) == 20
    assert len(set(body["label_token_ids"])) == 2


async def test_replicas_are_asked_in_turn_and_past_the_router() -> None:
    fake = httpx.ASGITransport(app=FakeVLLM(model=BASE))
    with respx.mock() as router:
        router.route().mock(side_effect=fake.handle_async_request)
        client = VLLMClient(URL, BASE, replica_urls=("http://one:8000/", "http://two:8000/v1"))
        for _ in range(2):
            await client.run(JudgeClarity("x"), Call())
        await client.aclose()
        hosts = [
            one.request.url.host for one in router.calls if one.request.url.path == "/generative_scoring"
        ]
    assert hosts == ["one", "two"]


@pytest.fixture
async def bare() -> AsyncIterator[tuple[VLLMClient, FakeVLLM]]:
    fake = FakeVLLM(scoring=False)
    client = VLLMClient(URL, fake.model, transport=httpx.ASGITransport(app=fake))
    yield client, fake
    await client.aclose()


async def test_without_generative_scoring_chat_logprobs_decide(bare: tuple[VLLMClient, FakeVLLM]) -> None:
    client, fake = bare
    done = await client.run(ScoreRelevance("red car", ("a red car", "a blue boat")), Call())

    assert done.value[0] > 0.5 > done.value[1]
    bodies = fake.asked("/chat/completions")
    assert [(body["max_tokens"], body["logprobs"]) for body in bodies] == [(1, True), (1, True)]


async def test_without_logprobs_one_rating_answers_for_all(bare: tuple[VLLMClient, FakeVLLM]) -> None:
    client, fake = bare
    fake.logprobs = False
    for _ in range(2):
        done = await client.run(ScoreRelevance("red car", ("a red car", "a blue boat")), Call())
    assert len(done.value) == 2
    assert len(fake.asked("/chat/completions")) == 3


async def test_systemone_is_asked_only_where_ping_found_it_and_not_again_after_a_501() -> None:
    fake = FakeVLLM(systemone=True)
    client = VLLMClient(URL, fake.model, transport=httpx.ASGITransport(app=fake))
    await client.run(JudgeClarity("x"), Call())
    assert fake.asked("/systemone") == []

    assert (await client.ping()).ok
    await client.run(ScoreRelevance("red car", ("a red car", "a blue boat")), Call())
    assert len(fake.asked("/systemone")) == 2
    assert fake.asked("/systemone")[1]["questions"].keys() == {"0", "1"}

    fake.systemone = False
    for _ in range(3):
        await client.run(JudgeClarity("x"), Call())
    await client.aclose()
    assert len(fake.asked("/systemone")) == 3


async def test_a_selection_is_decided_about_what_was_asked_and_facets_of_the_same_options(wire: Any) -> None:
    client = VLLMClient(URL, BASE)
    facets = (a_facet("f1", name="language"), a_facet("f2", name="city", value="Rome", rejected=("Oslo",)))
    task = UpdateFacets("Which language should it be?", "Python", ("Python", "Go"), facets)
    await client.run(task, Call(deadline=time.monotonic() + 5))
    await client.aclose()
    items = json.loads(wire.calls[-1].request.content)["items"]
    assert [item.split("Matter: ")[1].split("\n")[0] for item in items] == [
        '"Which language should it be?"',
        '"language"',
    ]
