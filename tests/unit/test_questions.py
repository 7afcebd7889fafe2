"""What a person would find odd, once found, is kept from coming back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import Call, GenerateHypotheses
from app.clients.slm.local import LocalClient
from app.clients.slm.rules.options import offer
from app.clients.slm.rules.wording import ask, topic
from app.models import Detail, Example, Hypothesis
from app.services.playbook import Playbook

SHIPPED = Path(__file__).parents[2] / "data" / "playbook"


@pytest.fixture(scope="module")
def embedder() -> StaticEmbedder:
    return StaticEmbedder()


@pytest.fixture(scope="module")
def playbook(embedder: StaticEmbedder) -> Playbook:
    return asyncio.run(Playbook.open(SHIPPED, embedder))


async def hypotheses(text: str, embedder: StaticEmbedder, playbook: Playbook) -> list[Hypothesis]:
    task = GenerateHypotheses(text, examples=await playbook.resembling(text), count=5)
    return (await LocalClient(embedder).run(task, Call())).value


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("book a flight", ["genre", "Classic literature", "Young adults"]),
        ("help", ["budget", "income", "financial"]),
        ("write a poem", ["scrape", "extract"]),
        ("write an email to my boss", ["Gmail", "Outlook"]),
        ("plan a party", ["Indoors", "At home"]),
        ("fix bug", ["concerned do you", "error and symptom do you"]),
        ("make a website", ["way of building it do you"]),
        ("build api", ["do you have in mind"]),
        ("build an online shop with payments", ["your your", "Both"]),
        ("find a restaurant", ["any your"]),
    ],
)
async def test_no_odd_question(
    text: str, never: list[str], embedder: StaticEmbedder, playbook: Playbook
) -> None:
    shown = await hypotheses(text, embedder, playbook)
    assert shown
    said = "\n".join(f"{one.question} {one.options}" for one in shown)
    assert not [words for words in never if words in said], said


async def test_a_homonym_is_no_example(embedder: StaticEmbedder) -> None:
    genre = Detail("Preferred genre", "Which genre do you like?", 3, ("Crime", "Poetry"))
    seats = Detail("Class of travel", "Which class do you want to fly?", 3, ("Economy", "Business"))
    examples = (
        Example("1", 0.6, "recommend a good book", True, (genre,)),
        Example("2", 0.5, "book me a seat on a flight", True, (seats,)),
    )
    task = GenerateHypotheses("book a flight", examples=examples, count=1)
    shown = (await LocalClient(embedder).run(task, Call())).value
    assert [one.options for one in shown] == [("Economy", "Business")]


async def test_options_of_another_question_about_the_same_thing_are_not_taken(
    embedder: StaticEmbedder,
) -> None:
    content = Detail("Email content", "What content should the emails contain?", 3)
    server = Detail("Email server", "Which email server should be used?", 1, ("Gmail", "Outlook", "Own"))
    examples = (Example("1", 0.6, "send emails", True, (content, server)),)
    task = GenerateHypotheses("write an email", examples=examples, count=2)
    for one in (await LocalClient(embedder).run(task, Call())).value:
        assert one.options == (() if "content" in one.question else one.options)


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (("One-off", "Subscription to news", "Both"), ()),
        (("One-off", "Both"), ("One-off", "Both")),
        (("Card", "Cash", "Invoice", "Credit for news"), ("Card", "Cash", "Invoice")),
    ],
)
def test_a_list_of_options_stands_with_its_rest(options: tuple[str, ...], left: tuple[str, ...]) -> None:
    detail = Detail("Way to pay", "How would you like to pay?", 2, options)
    example = Example("1", 0.9, "pay for news", True, (detail,))
    assert offer([(detail, example, {"news"})], frozenset(), frozenset()) == left


def test_yours_is_said_once() -> None:
    assert ask("your budget") == "What is your budget?"
    assert ask("your cuisine preference") == "Which cuisine do you prefer?"


def test_what_a_genre_is_of_cannot_be_cut_off() -> None:
    assert topic("Genre or type of books", ["book"]) is None
    assert ask("specific pieces needed") == "Are there any specific pieces needed?"


def test_a_lone_participle_is_no_topic() -> None:
    assert topic("Part of the code concerned", ["part", "code"]) is None
