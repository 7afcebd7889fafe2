"""What is answered is not asked, by form; what is not answered still is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import Call, FollowupQuestions, GenerateHypotheses
from app.clients.slm.local import LocalClient
from app.clients.slm.rules.told import abbreviates, sentences
from app.models import Turn
from app.services.playbook import Playbook
from tests.nouns import a_facet

SHIPPED = Path(__file__).parents[2] / "data" / "playbook"


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture(scope="module")
def playbook(embedder: StaticEmbedder) -> Playbook:
    return asyncio.run(Playbook.open(SHIPPED, embedder))


async def details(
    embedder: StaticEmbedder, playbook: Playbook, text: str = "build api", turn: str = "", **more: Any
) -> str:
    examples = await playbook.resembling(text)
    turns = (Turn("user", turn),) if turn else ()
    task = GenerateHypotheses(text, conversation=turns, examples=examples, count=6, **more)
    done = await LocalClient(embedder).run(task, Call())
    return "; ".join(one.detail for one in done.value)


@pytest.mark.parametrize(
    ("context", "settled"),
    [
        ({"auth": "JWT"}, "authentication"),
        ({"db": "Postgres"}, "database"),
        ({"storage": "Postgres"}, "database"),
        ({"hosting": "AWS"}, "hosting"),
        ({"notes": {"cloud": "AWS"}}, "hosting"),
        ({"lang": "Rust"}, "language"),
    ],
)
async def test_a_context_answers_by_short_keys_and_by_names(
    context: dict[str, Any], settled: str, embedder: StaticEmbedder, playbook: Playbook
) -> None:
    assert settled in await details(embedder, playbook)
    assert settled not in await details(embedder, playbook, context=context)


@pytest.mark.parametrize(
    ("turn", "settled"),
    [
        ("The API should expose our orders", "purpose"),
        ("Everyone signs in with Google", "authentication"),
        ("It runs on AWS", "hosting"),
        ("we have Postgres already", "database"),
        ("Could you do it in Go?", "language"),
    ],
)
async def test_a_plain_sentence_answers(
    turn: str, settled: str, embedder: StaticEmbedder, playbook: Playbook
) -> None:
    assert settled in await details(embedder, playbook)
    assert settled not in await details(embedder, playbook, turn=turn)


@pytest.mark.parametrize(
    "turn",
    [
        "I like tea",
        "We have no idea about the database yet",
        "I run a bakery",
        "Which hosting would be best?",
        "I am not sure which programming language to take",
        "My boss is called Ann",
        "The API is urgent",
    ],
)
async def test_other_sentences_answer_nothing(
    turn: str, embedder: StaticEmbedder, playbook: Playbook
) -> None:
    assert await details(embedder, playbook, turn=turn) == await details(embedder, playbook)


@pytest.mark.parametrize("context", [{"user": "ann"}, {"notes": "lorem"}, {"id": "7"}, {"app": "Embed"}])
async def test_other_keys_answer_nothing(
    context: dict[str, Any], embedder: StaticEmbedder, playbook: Playbook
) -> None:
    assert await details(embedder, playbook, context=context) == await details(embedder, playbook)


async def test_a_request_that_says_it_all_is_not_asked_for_it(
    embedder: StaticEmbedder, playbook: Playbook
) -> None:
    text = (
        "build a REST API in Python with FastAPI that exposes our product catalogue, with OAuth 2.0, on AWS,"
        " PostgreSQL"
    )
    asked = await details(embedder, playbook, text)
    assert not any(word in asked for word in ("hosting", "authentication", "database", "programming"))


async def test_what_the_persona_holds_is_not_a_followup(embedder: StaticEmbedder, playbook: Playbook) -> None:
    examples = await playbook.resembling("build api")
    task = FollowupQuestions({"request": "build api"}, examples=examples, count=5)
    held = FollowupQuestions(task.context, (a_facet(),), examples, 5)
    local = LocalClient(embedder)
    assert any("language" in question for question in (await local.run(task, Call())).value)
    assert not any("language" in question for question in (await local.run(held, Call())).value)


@pytest.mark.parametrize(
    ("key", "topic", "short"),
    [
        ("auth", "authentication of callers", True),
        ("db", "database", True),
        ("lang", "programming language", True),
        ("user", "intended users", False),
        ("db", "design preferences", False),
        ("a", "authentication", False),
        ("ion", "authentication", False),
        ("spec", "specific features", False),
    ],
)
def test_abbreviations(key: str, topic: str, short: bool) -> None:
    assert abbreviates(key, topic) is short


def test_doubt_and_questions_are_no_statements() -> None:
    text = "It runs on AWS. What do you think? I am not sure about the rest."
    assert [one.text for one in sentences(text, frozenset())] == ["It runs on AWS."]
