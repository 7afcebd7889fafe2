"""How clear is a request? What says nothing is not clear, whatever the playbook holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clients.slm.base import JudgeClarity
from app.clients.slm.rules.clarity import judge
from app.models import Example, Turn
from app.text import STOP_WORDS

CLEAR = (Example("e", 1.0, "Who wrote Hamlet?", False, ()),)


@pytest.mark.parametrize("text", ["the the the", "x", "?", "🙂", "...", "7", "What is it?", "\u200b"])
def test_what_says_nothing_is_not_clear(text: str) -> None:
    assert judge(JudgeClarity(text)) < 0.05
    assert judge(JudgeClarity(text, examples=CLEAR)) < 0.05


@given(st.lists(st.sampled_from(sorted(STOP_WORDS)), max_size=12))
def test_stop_words_alone_are_not_clear(words: list[str]) -> None:
    assert judge(JudgeClarity(" ".join(words), examples=CLEAR)) < 0.05


@pytest.mark.parametrize("text", ["Who wrote Hamlet?", "水", "C++ tutorial", "GDP of Peru in 2020?"])
def test_one_word_of_content_is_weighed_as_before(text: str) -> None:
    assert judge(JudgeClarity(text, examples=CLEAR)) > 0.5


def test_a_short_reply_in_a_conversation_is_no_request_without_words() -> None:
    told = (Turn("user", "Convert 250 US dollars to euros"), Turn("assistant", "At today's rate?"))
    assert judge(JudgeClarity("yes", conversation=told, examples=CLEAR)) > 0.5
