from hypothesis import given
from hypothesis import strategies as st

from app.text import STOP_WORDS, stems, words


def test_words_are_lower_case_and_keep_apostrophes_together() -> None:
    assert words("Don't STOP, Zoë: 2nd_try!") == ["dont", "stop", "zoë", "2nd", "try"]


def test_unspaced_scripts_are_cut_by_character() -> None:
    assert words("東京 trip") == ["東", "京", "trip"]


def test_stems_drop_stop_words_and_endings() -> None:
    assert stems("What are the requirements of this library?") == ["requir", "librari"]


def test_a_very_long_word_is_cut() -> None:
    assert len(words("a" * 100_000)[0]) == 64


@given(st.text())
def test_any_text_is_cut_alike_twice_and_holds_no_stop_word(text: str) -> None:
    assert words(text) == words(text)
    assert len(stems(text)) == sum(word not in STOP_WORDS for word in words(text))
