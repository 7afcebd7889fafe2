"""The embedder that is a server: what it sends, what it makes of answers and failures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

import httpx
import numpy as np
import pytest

from app.clients.embedding.cached import CachedEmbedder
from app.clients.embedding.http import HTTPEmbedder
from app.errors import (
    BackendAnswerInvalid,
    BackendError,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
)

Answer = Callable[[httpx.Request], httpx.Response]


class Server:
    """Vectors of (length of the text, 1), listed backwards; keeps what it was sent."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self._answer is not None:
            return self._answer(request)
        texts = json.loads(request.content)["input"]
        rows = [{"index": i, "embedding": [float(len(text)), 1.0]} for i, text in enumerate(texts)]
        return httpx.Response(200, json={"data": rows[::-1]})

    @property
    def inputs(self) -> list[list[str]]:
        return [json.loads(request.content)["input"] for request in self.requests]


def embedder(server: Server, api_key: str | None = None) -> HTTPEmbedder:
    return HTTPEmbedder("http://vectors/v1", "bge", api_key, transport=httpx.MockTransport(server))


@pytest.fixture
async def served() -> AsyncIterator[tuple[HTTPEmbedder, Server]]:
    server = Server()
    client = embedder(server, "key")
    yield client, server
    await client.aclose()


async def test_it_sends_the_protocol_s_body_to_the_protocol_s_address(
    served: tuple[HTTPEmbedder, Server],
) -> None:
    client, server = served
    await client.embed(["one", "three"])
    (request,) = server.requests
    assert str(request.url) == "http://vectors/v1/embeddings"
    assert request.headers["authorization"] == "Bearer key"
    assert json.loads(request.content) == {
        "model": "bge",
        "input": ["one", "three"],
        "encoding_format": "float",
    }


async def test_rows_follow_the_texts_by_index_and_have_norm_one(served: tuple[HTTPEmbedder, Server]) -> None:
    client, _ = served
    vectors = await client.embed(["one", "three"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, [[3 / 10**0.5, 1 / 10**0.5], [5 / 26**0.5, 1 / 26**0.5]], rtol=1e-6)


async def test_many_texts_go_in_bounded_batches_and_come_back_in_order(
    served: tuple[HTTPEmbedder, Server],
) -> None:
    client, server = served
    vectors = await client.embed(["x" * (n + 1) for n in range(150)])
    assert [len(texts) for texts in server.inputs] == [64, 64, 22]
    assert (np.diff(vectors[:, 0]) > 0).all()


async def test_white_space_is_not_sent_and_gives_zeros(served: tuple[HTTPEmbedder, Server]) -> None:
    client, server = served
    vectors = await client.embed(["  ", "word", ""])
    assert server.inputs == [["word"]]
    assert not vectors[[0, 2]].any()
    assert vectors[1].any()


async def test_white_space_alone_still_gives_rows_of_the_model_s_length(
    served: tuple[HTTPEmbedder, Server],
) -> None:
    client, _ = served
    assert (await client.embed([" "])).shape == (1, 2)
    assert (await client.embed([])).shape == (0, 2)


async def test_lone_surrogates_are_sent_as_something_that_can_be_sent(
    served: tuple[HTTPEmbedder, Server],
) -> None:
    client, server = served
    assert (await client.embed(["a\ud800b"])).shape == (1, 2)
    assert server.inputs == [["a?b"]]


def failing(error: type[httpx.TransportError]) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error("no", request=request)

    return answer


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (failing(httpx.ConnectError), BackendUnavailable),
        (failing(httpx.ReadTimeout), BackendTimeout),
        (lambda _: httpx.Response(500), BackendUnavailable),
        (lambda _: httpx.Response(429), BackendUnavailable),
        (lambda _: httpx.Response(400, json={"error": {"message": "too long"}}), BackendRejected),
        (lambda _: httpx.Response(200, text="<html>"), BackendAnswerInvalid),
        (lambda _: httpx.Response(200, json={"data": []}), BackendAnswerInvalid),
        (lambda _: httpx.Response(200, json=[1]), BackendAnswerInvalid),
        (
            lambda _: httpx.Response(200, json={"data": [{"index": 0, "embedding": ["a"]}]}),
            BackendAnswerInvalid,
        ),
        (
            lambda _: httpx.Response(200, json={"data": [{"index": 0, "embedding": [None]}]}),
            BackendAnswerInvalid,
        ),
    ],
)
async def test_whatever_goes_wrong_is_an_error_of_ours(answer: Answer, error: type[BackendError]) -> None:
    client = embedder(Server(answer))
    with pytest.raises(error):
        await client.embed(["text"])
    await client.aclose()


async def test_vectors_of_another_length_than_before_are_refused() -> None:
    lengths = iter([2, 3])
    server = Server(
        lambda _: httpx.Response(200, json={"data": [{"index": 0, "embedding": [1.0] * next(lengths)}]})
    )
    client = embedder(server)
    await client.embed(["text"])
    with pytest.raises(BackendAnswerInvalid):
        await client.embed(["text"])
    await client.aclose()


async def test_the_cache_asks_once_for_a_text_and_forgets_the_oldest(
    served: tuple[HTTPEmbedder, Server],
) -> None:
    client, server = served
    cached = CachedEmbedder(client, size=2, longest=5)
    plain = await client.embed(["a", "bb", "a"])
    np.testing.assert_array_equal(await cached.embed(["a", "bb", "a"]), plain)
    np.testing.assert_array_equal(await cached.embed(["bb", "a"]), plain[1:][:, :])
    assert server.inputs[1:] == [["a", "bb"]]
    await cached.embed(["ccc"])
    await cached.embed(["a", "ccc", "too long"])
    assert server.inputs[2:] == [["ccc"], ["too long"]]
    await cached.embed(["bb", "too long"])
    assert server.inputs[4:] == [["bb", "too long"]]
    assert (await cached.embed([])).shape == (0, 2)
    assert cached.dimensions == client.dimensions == 2
