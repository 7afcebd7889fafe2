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


async def test_log_probabilities_are_those_of_the_tokens_after_the_prompt() -> None:
    places = [None, {"2": {"logprob": -9.0}}, {"3": {"logprob": -0.5}, "8": {"logprob": -0.1}}]
    server = Server(completions={"choices": [{"prompt_logprobs": [*places, {"4": {"logprob": -0.25}}]}]})
    assert await probe(server).logprobs("questions-1", (1, 2), (3, 4)) == (-0.5, -0.25)
    assert server.asked[-1][1]["prompt"] == [1, 2, 3, 4]


@pytest.mark.parametrize("places", [None, [None, None], [None, None, {"9": {"logprob": -1.0}}]])
async def test_missing_log_probabilities_are_no_answer(places: object) -> None:
    server = Server(completions={"choices": [{"prompt_logprobs": places}]})
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
