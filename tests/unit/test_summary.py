"""A summary is never empty and never longer than asked for, whatever the text is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import tokens
from app.clients.slm.rules.summary import summarize


@pytest.mark.parametrize(
    "text", ["a" * 150_000, "A" * 150_000, "\u4e2d" * 50_000, "!" * 99_999, "x1" * 9_999]
)
def test_one_endless_word_is_cut_within(text: str) -> None:
    summary = summarize(text, 8)
    assert summary and text.startswith(summary)
    assert tokens.estimate(summary) <= 8


@given(st.text(min_size=1, max_size=400).filter(str.strip), st.integers(8, 40))
def test_a_summary_keeps_its_budget(text: str, budget: int) -> None:
    summary = summarize(text, budget)
    assert summary
    assert tokens.estimate(summary) <= budget
