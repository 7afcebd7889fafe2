"""In which language a request is, and that a few words are not taken for English."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import Call, GenerateHypotheses
from app.clients.slm.local import LocalClient
from app.clients.slm.rules.language import ENGLISH, UNKNOWN, language, speaks_otherwise
from app.services.playbook import Playbook

SHIPPED = Path(__file__).parents[2] / "data" / "playbook"


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture(scope="module")
def playbook(embedder: StaticEmbedder) -> Playbook:
    return asyncio.run(Playbook.open(SHIPPED, embedder))


async def questions(text: str, playbook: Playbook | None, embedder: StaticEmbedder) -> list[str]:
    examples = () if playbook is None else await playbook.resembling(text)
    done = await LocalClient(embedder).run(GenerateHypotheses(text, examples=examples), Call())
    return [one.question for one in done.value]


@pytest.mark.parametrize(
    "text",
    [
        "Bewerbung schreiben",
        "hola",
        "Ayúdame",
        "ajuda",
        "Lebenslauf",
        "préparer cv",
        "Webseite bauen",
        "scrivere codice python",
        "scrivere codice in python",
    ],
)
async def test_a_few_words_of_another_language_get_no_english_question(
    text: str, playbook: Playbook, embedder: StaticEmbedder
) -> None:
    assert await questions(text, playbook, embedder) == []
    assert await questions(text, None, embedder) == []


@pytest.mark.parametrize("text", ["build api", "fix bug", "plan party", "refactor", "help", "run in docker"])
async def test_a_few_english_words_are_asked_about(
    text: str, playbook: Playbook, embedder: StaticEmbedder
) -> None:
    assert len(await questions(text, playbook, embedder)) == 3
    assert await questions(text, None, embedder)


@pytest.mark.parametrize("text", ["tokyo", "kubernetes", "resume"])
async def test_a_noun_that_the_playbook_knows_is_asked_about(
    text: str, playbook: Playbook, embedder: StaticEmbedder
) -> None:
    assert await questions(text, playbook, embedder)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("write a poem in French", ENGLISH),
        ("Schreib mir einen Brief", "de"),
        ("in", UNKNOWN),
        ("旅行を計画して", "CJK"),
        ("", UNKNOWN),
    ],
)
def test_the_language_of_a_text(text: str, spoken: str) -> None:
    assert language(text) == spoken


@pytest.mark.parametrize(
    ("text", "spoken", "otherwise"),
    [
        ("What is the goal?", "de", True),
        ("Was ist das Ziel?", "de", False),
        ("Was ist das Ziel?", ENGLISH, True),
        ("Preferred OS?", ENGLISH, False),
        ("目標は何ですか", ENGLISH, True),
        ("What is the goal?", UNKNOWN, True),
        ("¿Qué quieres de mí?", UNKNOWN, False),
        ("Budget?", "de", False),
    ],
)
def test_only_what_is_surely_another_language_is_dropped(text: str, spoken: str, otherwise: bool) -> None:
    assert speaks_otherwise(text, spoken) is otherwise
