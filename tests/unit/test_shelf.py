from dataclasses import replace

import numpy as np
import pytest

from app.models import Detail
from app.services.shelf import LearnedEntry, Shelf, Vector
from tests.nouns import unit_vectors

EAST, NORTH = np.eye(2, dtype=np.float32)


def an_entry(id: str = "t-1", description: str = "budget", last: int = 1, **fields: object) -> LearnedEntry:  # noqa: A002
    detail = Detail(description, f"What is the {description}?", 3.0, ("Low", "High"))
    return replace(LearnedEntry(id, None, detail, last=last), **fields)  # type: ignore[arg-type]


def test_the_likest_come_first_with_their_cosine() -> None:
    shelf = Shelf(10)
    shelf.learn(an_entry("t-1"), EAST)
    shelf.learn(an_entry("t-2", "date"), NORTH)
    assert [(cosine, entry.id) for cosine, entry in shelf.nearest(NORTH, 5)] == [(1.0, "t-2"), (0.0, "t-1")]
    assert [entry.id for _, entry in shelf.nearest(NORTH, 1)] == ["t-2"]
    assert [entry.id for _, entry in shelf.nearest(NORTH, 5, below=0.999)] == ["t-1"]
    assert Shelf(10).nearest(EAST, 5) == []


def test_near_duplicates_merge_and_count() -> None:
    shelf = Shelf(10)
    assert shelf.learn(an_entry("t-1", "the budgets"), EAST) == "t-1"
    assert shelf.learn(an_entry("t-2", "budget", last=7), EAST) == "t-1"
    assert shelf.learn(an_entry("t-3", "budget"), NORTH) == "t-3"
    held = shelf.get("t-1")
    assert held is not None
    assert (held.picks, held.last, len(shelf)) == (2.0, 7, 2)
    assert held.weight == pytest.approx(2**0.5)


def test_what_keeps_being_passed_over_fades_near_the_request_and_nowhere_else() -> None:
    shelf = Shelf(10)
    shelf.learn(an_entry("t-1"), EAST)
    shelf.learn(an_entry("t-2"), NORTH)
    weights = []
    for _ in range(20):
        shelf.pass_over("budget", EAST)
        (_, near), (_, far) = shelf.nearest(EAST, 2)
        weights.append(near.weight)
        assert far.weight == 1.0
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] < 0.2
    shelf.pass_over("something else", EAST)


def test_a_hand_can_weigh_silence_and_remove() -> None:
    shelf = Shelf(10)
    for number in range(3):
        shelf.learn(an_entry(f"t-{number}", f"detail{number}"), EAST)
    shelf.set_weight("t-0", 0.0)
    shelf.set_weight("t-1", 3.0)
    shelf.remove("t-2")
    shelf.remove("t-9")
    assert [(entry.id, entry.weight) for _, entry in shelf.nearest(EAST, 5)] == [("t-1", 3.0)]
    assert [entry.id for entry in shelf] == ["t-0", "t-1"]
    assert shelf.learn(an_entry("t-2", "detail2"), EAST) == "t-2"


def test_when_full_the_least_by_weight_and_recency_goes() -> None:
    shelf = Shelf(20)
    for number in range(20):
        shelf.learn(an_entry(f"t-{number}", f"detail{number}", last=5_000 * (number > 0)), EAST)
    shelf.learn(an_entry("again", "detail0", last=5_000), EAST)
    for _ in range(9):
        shelf.pass_over("detail7", EAST)
    shelf.learn(an_entry("new", "another", last=5_001), NORTH)
    assert shelf.get("t-7") is None
    assert shelf.get("t-0") is not None
    assert (len(shelf), [entry.id for _, entry in shelf.nearest(NORTH, 1)]) == (20, ["new"])


def test_it_never_grows_beyond_its_size() -> None:
    shelf, vectors = Shelf(50), unit_vectors(400, 8)
    for number, vector in enumerate(vectors):
        shelf.learn(an_entry(f"t-{number}", f"detail{number}", last=number), vector)
        assert len(shelf) <= 50
    assert [entry.id for entry in shelf][-1] == "t-399"


def filled(count: int, dimensions: int) -> tuple[Shelf, Vector]:
    shelf, vectors = Shelf(count), unit_vectors(count, dimensions)
    for number, vector in enumerate(vectors):
        shelf.learn(an_entry(f"t-{number}", f"detail{number}", last=number), vector)
    return shelf, vectors


def test_the_search_agrees_with_a_full_sort() -> None:
    shelf, vectors = filled(500, 16)
    asked = unit_vectors(1, 16, seed=9)[0]
    expected = sorted(range(500), key=lambda row: -float(vectors[row] @ asked))[:10]
    assert [entry.id for _, entry in shelf.nearest(asked, 10)] == [f"t-{row}" for row in expected]
