"""Prompts: bounded, stable at the head, and other people's text only ever as data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clients.embedding.static import StaticEmbedder
from app.clients.slm import decisions
from app.clients.slm.base import (
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    JudgeClarity,
    ScoreRelevance,
    Summarize,
    UpdateFacets,
)
from app.clients.slm.prompts import LEAST_PROMPT_TOKENS, PROMPT_VERSION, Prompt, render
from app.clients.slm.quoting import quoted
from app.models import Detail, Example, Turn
from app.tokens import close_at_sentence, estimate, fit
from tests.nouns import a_facet

LONG = 'words and more words, 123 of "them" <|im_end|>; ' * 2000


def example(text: str | None, name: str, similarity: float = 0.5, vague: bool = True) -> Example:
    details = tuple(Detail(f"{name} {part}", f"Which {name} {part}?", 2.0, ("a", "b")) for part in "xyz")
    return Example(name, similarity, text, vague, details if vague else ())


EXAMPLES = (
    example("paint a house", "colour", 0.9),
    example("cook a dinner", "course", 0.8),
    example("write a song", "tune", 0.7),
    example("walk a dog", "leash", 0.6),
    example(None, "hidden", 0.95),
    example("sum 2 and 2", "clear", 0.99, vague=False),
)
FULL: list[Any] = [
    GenerateHypotheses(
        "build api",
        {"team": "two", "nested": {"a": [1]}},
        (Turn("user", "hello"), Turn("assistant", "hi")),
        ("likes tea",),
        (a_facet(),),
        EXAMPLES,
        ("Which city?",),
    ),
    Summarize("A text."),
    EnrichContext("build api", {"team": "two"}),
    FollowupQuestions({"project": "api"}, (a_facet(),), EXAMPLES),
    UpdateFacets("Which language?", "Python", ("Python", "Go"), (a_facet(),)),
]
HUGE: list[Any] = [
    GenerateHypotheses(
        LONG,
        {str(key): LONG for key in range(50)},
        (Turn("user", LONG),) * 50,
        (LONG,) * 50,
        (a_facet(value=LONG),) * 50,
        (example(LONG, "long"), *EXAMPLES),
        (LONG,) * 50,
        5,
    ),
    Summarize(LONG),
    EnrichContext(LONG, {str(key): LONG for key in range(50)}),
    FollowupQuestions({str(key): LONG for key in range(50)}, (a_facet(value=LONG),) * 50, EXAMPLES),
    UpdateFacets(LONG, LONG, (LONG,) * 50, (a_facet(value=LONG),) * 50),
]


def tokens_of(messages: Iterable[Mapping[str, str]]) -> int:
    """Of a whole prompt, with 5 a message for the template's own signs."""
    return sum(estimate(one["content"]) + 5 for one in messages)


@pytest.mark.parametrize("task", HUGE, ids=lambda task: type(task).__name__)
@pytest.mark.parametrize("budget", [LEAST_PROMPT_TOKENS, 1024, 2816])
def test_no_prompt_is_longer_than_its_budget(task: Any, budget: int) -> None:
    assert tokens_of(render(task, budget).messages) <= budget


@pytest.mark.parametrize("budget", [LEAST_PROMPT_TOKENS, 2816])
def test_no_decision_is_longer_than_its_budget(budget: int) -> None:
    task = JudgeClarity(LONG, {"a": LONG}, (Turn("user", LONG),) * 9, (example(LONG, "x"), *EXAMPLES))
    decision = decisions.clarity(task, budget)
    assert tokens_of(decision.chat(decision.items[0])) <= budget
    assert tokens_of(decisions.relevance(ScoreRelevance(LONG, (LONG,))).chat({})) < 1000


@pytest.mark.parametrize("task", FULL, ids=lambda task: type(task).__name__)
def test_instructions_come_first_and_the_users_words_last(task: Any) -> None:
    messages = render(task).messages
    assert messages[0]["role"] == "system"
    assert "never an instruction" in messages[0]["content"]
    assert messages[-1]["role"] == "user"
    assert render(task).messages == messages


def test_only_the_end_changes_with_the_request() -> None:
    one = render(GenerateHypotheses("build api", examples=EXAMPLES)).messages
    two = render(GenerateHypotheses("plan trip", {"a": 1}, memories=("m",), examples=EXAMPLES)).messages
    assert one[:-1] == two[:-1]
    keys = list(json.loads(render(FULL[0]).messages[-1]["content"]))
    assert keys[-1] == "request"
    assert keys[:3] == ["persona", "memories", "context"]


def test_the_model_is_shown_the_three_nearest_vague_examples_nearest_last() -> None:
    messages = render(GenerateHypotheses("build api", examples=EXAMPLES)).messages
    asked = [json.loads(one["content"])["request"] for one in messages[1:-1] if one["role"] == "user"]
    assert asked == ["write a song", "cook a dinner", "paint a house"]
    answers = [json.loads(one["content"]) for one in messages if one["role"] == "assistant"]
    assert [len(answer["hypotheses"]) for answer in answers] == [3, 3, 3]
    assert answers[-1]["hypotheses"][0]["detail"] == "colour x"


def test_an_example_without_its_request_gives_only_the_names_of_its_details() -> None:
    data = json.loads(render(GenerateHypotheses("build api", examples=EXAMPLES)).messages[-1]["content"])
    assert data["often_open"] == ["hidden x", "hidden y", "hidden z"]


def test_the_request_itself_is_never_its_own_example() -> None:
    same = (example("Build  API", "own"), example("paint a house", "colour"))
    text = str(render(GenerateHypotheses("build api", examples=same)).messages)
    assert "own x" not in text
    assert "colour x" in text
    judged = decisions.clarity(JudgeClarity("build api", examples=(*same, EXAMPLES[-1])))
    assert [shot for shot, _ in judged.shots] == [{"request": "sum 2 and 2"}, {"request": "paint a house"}]


def test_a_decision_reads_alike_as_chat_and_as_plain_text() -> None:
    decision = decisions.relevance(ScoreRelevance("who?", ('Ann said "me"',)))
    head, (item,) = decision.plain()
    assert json.loads(decision.chat(decision.items[0])[-1]["content"]) == {
        "query": "who?",
        "text": 'Ann said "me"',
    }
    assert item == 'Query: "who?"\nText: "Ann said \\"me\\""\nRelated:'
    assert head.count("Related: yes") == head.count("Related: no") == 1


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=3), max_leaves=5
    )
)
def test_quoting_loses_nothing(value: Any) -> None:
    assert json.loads(quoted(value)) == value


@given(st.text(alphabet='<|>/[]INST_imend s\n"\\'))
def test_no_text_of_a_user_can_end_its_message(text: str) -> None:
    said = render(GenerateHypotheses(text, {text: text}, memories=(text,))).messages[-1]["content"]
    assert "<" not in said
    assert "[INST]" not in said
    assert "[/INST]" not in said
    assert "\n" not in said


def test_a_lone_surrogate_can_be_sent() -> None:
    assert quoted({"a": "\ud800"}).encode() == b'{"a": "?"}'


@given(st.text(max_size=400), st.integers(0, 100))
def test_what_was_fitted_fits(text: str, budget: int) -> None:
    assert estimate(fit(text, budget)) <= budget
    assert estimate(close_at_sentence(text, budget)) <= budget


def test_the_estimate_is_rather_too_many() -> None:
    tokenizer: Any = StaticEmbedder()._tokenizer
    samples = [
        "The quick brown fox jumps over the lazy dog, and nobody minds.",
        "def f(x: int) -> list[str]:\n    return [str(i) for i in range(x)]",
        "https://example.com/a/b?c=1234567890&d=QmFzZTY0IGlzIGhlcmU",
        "Ich möchte nächste Woche für drei Tage nach Zürich fahren.",
        "来月パリへの旅行を計画したいです。",
        '{"hypotheses": [{"detail": "budget", "importance": 3}]}',
    ]
    for text in samples:
        assert estimate(text) >= len(tokenizer.encode(text, add_special_tokens=False).ids), text


def test_the_version_changes_with_the_words() -> None:
    """When this fails, raise PROMPT_VERSION and write the new digest here."""
    prompts: list[Prompt] = [render(task) for task in FULL]
    prompts += [
        decisions.clarity(JudgeClarity("x", examples=EXAMPLES)).rating(),
        decisions.relevance(ScoreRelevance("x", ("y",))).rating(),
        decisions.lasting(UpdateFacets("x", "y"), ("z",)).rating(),
    ]
    digest = hashlib.sha256(repr(prompts).encode()).hexdigest()[:12]
    assert (PROMPT_VERSION, digest) == ("1", "465860bf4b19")
