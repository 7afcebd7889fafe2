"""What an examiner sends to a replica, and what it makes of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.clients.slm.probe import VLLMProbe
from app.errors import BackendAnswerInvalid, BackendUnavailable, UnknownAdapter

MESSAGES = ({"role": "user", "content": "build api"},)
VALID = '{"hypotheses": [{"detail": "language", "question": "Which language should it be in?"}]}'


class Server:
    """Answers each path with what was laid ready; keeps what was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((request.url.path, json.loads(request.content)))
        answer = self.answers[request.url.path.rpartition("/")[2]]
        return answer if isinstance(answer, httpx.Response) else httpx.Response(200, json=answer)


def probe(handler: Callable[[httpx.Request], httpx.Response]) -> VLLMProbe:
    return VLLMProbe("http://replica:8000/v1", transport=httpx.MockTransport(handler))


async def test_tokens_are_those_of_the_chat_template() -> None:
    server = Server(tokenize={"tokens": [1, 2, 3]})
    assert await probe(server).prompt_ids("questions-1", MESSAGES) == (1, 2, 3)
    path, body = server.asked[-1]
    assert path == "/tokenize"
    assert body == {"model": "questions-1", "messages": list(MESSAGES), "add_generation_prompt": True}


class Writer:
    """Writes 5, 6, 7, 8, ... after any prompt, each with its own likely tokens."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.asked.append(body)
        done = len(body["prompt"]) - 2
        written = [5 + done + place for place in range(body["max_tokens"])]
        logprobs = {
            "tokens": [f"token_id:{token}" for token in written],
            "token_logprobs": [-0.1 * token for token in written],
            "top_logprobs": [{f"token_id:{token}": -0.1 * token, "token_id:99": -4.0} for token in written],
        }
        return httpx.Response(200, json={"choices": [{"logprobs": logprobs}]})


async def test_log_probabilities_of_what_the_server_writes_itself_take_one_call() -> None:
    writer = Writer()
    assert await probe(writer).logprobs("questions-1", (1, 2), (5, 6, 7)) == pytest.approx((-0.5, -0.6, -0.7))
    (body,) = writer.asked
    assert (body["prompt"], body["max_tokens"], body["temperature"]) == ([1, 2], 3, 0.0)
    assert "prompt_logprobs" not in body, "an engine with LoRA dies of it"


async def test_where_the_server_takes_another_token_it_goes_on_behind_the_right_one() -> None:
    writer = Writer()
    found = await probe(writer).logprobs("questions-1", (1, 2), (5, 99, 7, 42))
    assert found == pytest.approx((-0.5, -4.0, -0.7, float("-inf")))
    assert [body["prompt"] for body in writer.asked] == [[1, 2], [1, 2, 5, 99]]


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        {},
        {"tokens": [], "token_logprobs": [], "top_logprobs": []},
        {"tokens": ["token_id:3"], "token_logprobs": [], "top_logprobs": []},
        {"tokens": [" a"], "token_logprobs": [-1.0], "top_logprobs": [{}]},
        {"tokens": ["token_id:3"], "token_logprobs": [-1.0], "top_logprobs": [None]},
    ],
)
async def test_missing_log_probabilities_are_no_answer(logprobs: object) -> None:
    server = Server(completions={"choices": [{"logprobs": logprobs}]})
    with pytest.raises(BackendAnswerInvalid):
        await probe(server).logprobs("questions-1", (1, 2), (3,))


@pytest.mark.parametrize(
    ("text", "valid"), [(VALID, True), ("{", False), ("", False), ('{"hypotheses": []}', False)]
)
async def test_only_hypotheses_are_valid(text: str, valid: bool) -> None:
    server = Server(completions={"choices": [{"message": {"content": text}}]})
    said = await probe(server).answer("questions-1", MESSAGES, 64)
    assert (said.text, said.valid) == (text, valid)
    assert said.seconds > 0
    assert "response_format" not in server.asked[-1][1]


async def test_a_count_holds_the_answer_to_the_schema_of_service() -> None:
    server = Server(completions={"choices": [{"message": {"content": VALID}}]})
    await probe(server).answer("questions-1", MESSAGES, 64, 3)
    schema = server.asked[-1][1]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["hypotheses"]["minItems"] == 3


async def test_failures_are_errors_of_ours() -> None:
    gone = Server(tokenize=httpx.Response(404, json={"error": {"message": "no such model"}}))
    with pytest.raises(UnknownAdapter):
        await probe(gone).prompt_ids("questions-1", MESSAGES)
    with pytest.raises(BackendUnavailable):
        await probe(Server(tokenize=httpx.Response(503))).prompt_ids("questions-1", MESSAGES)
    with pytest.raises(BackendAnswerInvalid):
        await probe(Server(tokenize=["no object"])).prompt_ids("questions-1", MESSAGES)
