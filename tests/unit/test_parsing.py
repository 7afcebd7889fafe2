"""What a model may write, and what is made of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clients.slm import parsing
from app.clients.slm.parsing import HypothesisReader
from app.clients.slm.partial import ObjectScanner
from app.errors import BackendAnswerInvalid

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
OBJECTS = st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), max_size=4)


def item(**fields: Any) -> dict[str, Any]:
    usual = {
        "detail": "budget",
        "question": "What is the budget?",
        "statement": "No budget.",
        "importance": 2,
    }
    return {**usual, "options": ["small", "large"], **fields}


def read(*items: object, count: int = 3, asked: tuple[str, ...] = ()) -> list[Any]:
    return parsing.hypotheses(json.dumps({"hypotheses": items}), HypothesisReader(count, "http", asked))


@given(OBJECTS, st.booleans(), st.lists(st.integers(1, 9)))
def test_any_chunking_gives_the_same_objects(objects: list[Any], ascii_only: bool, sizes: list[int]) -> None:
    text = "Sure! Here it is:\n" + json.dumps({"hypotheses": objects}, ensure_ascii=ascii_only, indent=1)
    scanner, found, at = ObjectScanner(), [], 0
    for size in [*sizes, len(text)]:
        found += scanner.feed(text[at : at + size])
        at += size
    assert [json.loads(one) for one in found] == objects
    assert [json.loads(one) for one in ObjectScanner().feed(text)] == objects


@given(OBJECTS)
def test_an_object_is_given_as_soon_as_its_brace_closes(objects: list[Any]) -> None:
    scanner = ObjectScanner()
    scanner.feed('{"hypotheses": [')
    for one in objects:
        text = json.dumps(one)
        assert scanner.feed(text[:-1]) == []
        assert scanner.feed(text[-1] + ",") == [text]


@given(st.text())
def test_nothing_a_model_writes_breaks_the_scanner_or_the_reader(text: str) -> None:
    ObjectScanner().feed(text)
    reader = HypothesisReader(3, "http")
    try:
        parsing.hypotheses(text, reader)
    except BackendAnswerInvalid:
        assert reader.found == []


@given(JSON)
def test_any_json_is_either_read_or_refused(value: Any) -> None:
    text = json.dumps(value)
    for reading in (
        lambda: parsing.enrichment(text),
        lambda: parsing.questions(text, 3),
        lambda: parsing.facet_changes(text, "a", ("b",)),
        lambda: parsing.ratings(text, 2),
        lambda: parsing.hypotheses(text, HypothesisReader(3, "http")),
    ):
        try:
            assert reading() is not None
        except BackendAnswerInvalid:
            continue


def test_words_and_fences_round_the_json_are_passed_over() -> None:
    text = f"Here you are:\n```json\n{json.dumps([item()])}\n```\nAnything else?"
    assert len(parsing.hypotheses(text, HypothesisReader(3, "http"))) == 1


@pytest.mark.parametrize("question", ["", "   ", "?", "Tell me the budget.", None, 7])
def test_what_asks_nothing_is_no_hypothesis(question: object) -> None:
    with pytest.raises(BackendAnswerInvalid, match="no question"):
        read(item(question=question))


@pytest.mark.parametrize("text", ["", "no json", "{", '{"hypotheses": 3}', '"text"', "[" * 100_000])
def test_what_is_no_answer_is_refused(text: str) -> None:
    with pytest.raises(BackendAnswerInvalid):
        parsing.hypotheses(text, HypothesisReader(3, "http"))


def test_the_same_question_or_detail_is_asked_once() -> None:
    found = read(item(), item(detail="x"), item(question="How much?"), item(detail="y", question="Why?"))
    assert [one.question for one in found] == ["What is the budget?", "Why?"]


def test_what_was_asked_before_is_dropped_and_no_more_than_count_are_taken() -> None:
    four = [item(detail=str(n), question=f"Number {n}?") for n in range(4)]
    assert [one.detail for one in read(*four, count=2, asked=("number 0",))] == ["1", "2"]


@pytest.mark.parametrize(
    ("given", "taken"), [(9, 3), (0, 1), (-1, 1), ("3", 2), (None, 2), (2.6, 3), (True, 2)]
)
def test_importance_is_clipped(given: object, taken: int) -> None:
    assert read(item(importance=given))[0].importance == taken


def test_options_are_distinct_short_strings() -> None:
    options = ["a", " A ", "", "...", 3, None, "b  c", *"defghij"]
    assert read(item(options=options))[0].options == ("A", "b c", "d", "e", "f", "g")
    assert read(item(options="a"))[0].options == ()


def test_missing_words_are_made_of_the_question() -> None:
    (only,) = read(item(detail=None, statement=None))
    assert only.detail == "What is the budget"
    assert only.statement


def test_raw_confidence_falls_with_the_place_and_rises_with_the_weight() -> None:
    first, second = read(item(importance=3), item(detail="x", question="x?", importance=3))
    assert 1.0 == first.confidence.raw > second.confidence.raw > 0


def test_a_model_that_repeats_the_form_says_nothing() -> None:
    form = {"implicit_goals": ["..."], "expertise_level": "", "next_steps": ["..."]}
    with pytest.raises(BackendAnswerInvalid):
        parsing.enrichment(json.dumps(form))


def test_ratings_must_be_as_many_as_the_items() -> None:
    assert parsing.ratings('{"ratings": [10, 0, 15]}', 3) == [1.0, 0.0, 1.0]
    with pytest.raises(BackendAnswerInvalid):
        parsing.ratings('{"ratings": [10]}', 3)


def test_facets_keep_what_was_rejected() -> None:
    text = json.dumps({"facets": [{"name": "language", "value": "Python", "confidence": 7}, {"name": ""}, 3]})
    (change,) = parsing.facet_changes(text, "Python", ("Python", "Go"))
    assert (change.name, change.rejected, change.confidence) == ("language", ("Go",), 1.0)
    assert parsing.facet_changes('{"facets": []}', "Python", ()) == []
