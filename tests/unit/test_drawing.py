"""Rows drawn by weight: as long an epoch, made of what the weights say. No torch is needed."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.recipes.arguments import SftArguments, parse
from app.recipes.drawing import drawn
from app.recipes.rows import read_answers, read_rows, weighed

CONFIG = {"dataset": "rows.jsonl", "model_name": "base", "output": "out"}


def rows_at(path: Path, weights: list[object], **columns: object) -> Path:
    said = [{**columns, "prompt": f"p{place}", "weight": weight} for place, weight in enumerate(weights)]
    path.write_text("".join(json.dumps(row) + "\n" for row in said))
    return path


@pytest.mark.parametrize(
    ("read", "columns"),
    [
        (read_answers, {"completion": "c"}),
        (
            lambda path: read_rows(path, ("prompt", "chosen", "rejected")),
            {"chosen": "c", "rejected": "r"},
        ),
        (
            lambda path: read_rows(path, ("prompt", "completion", "label")),
            {"completion": "c", "label": True},
        ),
    ],
)
def test_every_recipe_learns_from_a_row_as_often_as_it_weighs(
    tmp_path: Path, read: Any, columns: dict[str, object]
) -> None:
    rows = read(rows_at(tmp_path / "weighed.jsonl", [1, 0, 4.0, 1], **columns))
    train, held, distinct = weighed(parse(SftArguments, CONFIG), rows, [])
    assert (len(train), held, distinct) == (4, [], len({row["prompt"] for row in train}))
    assert [row["prompt"] for row in train].count("p2") in (2, 3)
    assert all(row.keys() == {"prompt", *columns} for row in train)
    assert "p1" not in [row["prompt"] for row in train]


def test_what_is_held_out_is_not_learned_from(tmp_path: Path) -> None:
    rows = read_answers(rows_at(tmp_path / "weighed.jsonl", [1, 4, 1, 4], completion="c"))
    arguments = parse(SftArguments, {**CONFIG, "eval_split": 0.5})
    train, held, _ = weighed(arguments, rows, [])
    assert (len(train), len(held)) == (2, 2)
    assert not {row["prompt"] for row in train} & {row["prompt"] for row in held}
    assert weighed(arguments, rows, rows[:1])[1] == [{"prompt": "p0", "completion": "c"}]


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40).filter(any), st.integers(0, 2**31 - 1))
def test_a_row_is_drawn_as_its_share_says_or_once_more(weights: list[float], seed: int) -> None:
    places = drawn(weights, seed)
    assert len(places) == len(weights)
    assert places == drawn(weights, seed)
    for place, weight in enumerate(weights):
        due = Fraction(weight) * len(weights) / sum(map(Fraction, weights))
        assert math.floor(due) <= places.count(place) <= math.ceil(due)


@given(st.floats(0.001, 100), st.integers(1, 300), st.integers(0, 2**31 - 1))
def test_equal_weights_draw_each_row_once(weight: float, count: int, seed: int) -> None:
    assert drawn([weight] * count, seed) == list(range(count))


def test_over_many_seeds_the_mean_is_the_share() -> None:
    weights = [0.5, 1.0, 1.7, 0.1]
    times = [sum(drawn(weights, seed).count(place) for seed in range(2000)) / 2000 for place in range(4)]
    assert times == pytest.approx([weight * 4 / 3.3 for weight in weights], abs=0.05)


@pytest.mark.parametrize("wrong", [-1, "2", True, None, float("nan"), float("inf")])
def test_what_is_no_weight_is_refused(tmp_path: Path, wrong: object) -> None:
    with pytest.raises(InvalidInput, match="weight"):
        read_answers(rows_at(tmp_path / "weighed.jsonl", [1, wrong], completion="c"))


def test_rows_of_no_weight_at_all_are_no_dataset() -> None:
    with pytest.raises(InvalidInput, match="weighs"):
        drawn([0.0, 0.0], 7)
