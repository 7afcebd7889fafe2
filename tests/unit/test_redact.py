from __future__ import annotations

import string
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.services.training.redact import alias, redact, redact_all

ALNUM = string.ascii_letters + string.digits
WORD = ALNUM + "_-"


def card_of(digits: str) -> str:
    """The digits with Luhn's check digit behind them."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return digits + str(-total % 10)


def grouped(digits: str, separator: str) -> str:
    return separator.join(digits[start : start + 4] for start in range(0, len(digits), 4))


cards = st.builds(
    grouped,
    st.builds(
        card_of,
        st.one_of(
            st.from_regex(r"4[0-9]{14}", fullmatch=True),
            st.from_regex(r"5[1-5][0-9]{13}", fullmatch=True),
            st.from_regex(r"3[47][0-9]{12}", fullmatch=True),
            st.from_regex(r"6011[0-9]{11}", fullmatch=True),
            st.from_regex(r"62[0-9]{16}", fullmatch=True),
        ),
    ),
    st.sampled_from(["", " ", "-", "\u00a0"]),
)
local = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9.+_-]{0,30}[A-Za-z0-9])?", fullmatch=True)
emails = st.builds(
    "{}@{}.{}".format,
    local,
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,5})?", fullmatch=True),
    st.sampled_from(["com", "org", "de", "co.uk", "museum"]),
)
keys = st.one_of(
    st.builds("sk-{}".format, st.text(WORD, min_size=20, max_size=60)),
    st.builds("sk-ant-api03-{}".format, st.text(WORD, min_size=20, max_size=60)),
    st.builds("sk_live_{}".format, st.text(ALNUM, min_size=24, max_size=24)),
    st.builds("gh{}_{}".format, st.sampled_from("pousr"), st.text(ALNUM, min_size=36, max_size=36)),
    st.builds("AKIA{}".format, st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16)),
    st.builds("AIza{}".format, st.text(WORD, min_size=35, max_size=35)),
    st.builds("hf_{}".format, st.text(ALNUM, min_size=34, max_size=34)),
    st.builds("xoxb-{}".format, st.text(string.digits + "-" + ALNUM, min_size=24, max_size=50)),
    st.builds("eyJ{}.eyJ{}.{}".format, *(st.text(WORD, min_size=20, max_size=40) for _ in range(3))),
)
around = st.text(st.characters(codec="utf-8"), max_size=40)
gaps = st.sampled_from([" ", "\n", "\t", ", ", ": ", '"', "(", "<", "="])


@given(
    st.one_of(cards, emails, keys), around, around, gaps, st.sampled_from([" ", "\n", ", ", '"', ")", ">"])
)
def test_no_secret_survives_whatever_stands_around_it(
    secret: str, before: str, after: str, left: str, right: str
) -> None:
    cleaned = redact(f"{before}{left}{secret}{right}{after}")
    assert secret not in cleaned
    assert "[redacted:" in cleaned


@given(st.lists(st.one_of(cards, emails, keys, around), max_size=6))
def test_redacting_twice_changes_nothing_more(parts: list[str]) -> None:
    once = redact(" ".join(parts))
    assert redact(once) == once


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("mail ann.lee+x@example.co.uk.", "mail [redacted:email]."),
        ("card 4111 1111 1111 1111, thanks", "card [redacted:card], thanks"),
        ("order 12 4111-1111-1111-1111 7", "order 12 [redacted:card] 7"),
        ("api_key = 'hunter2hunter2'", "api_key = '[redacted:key]'"),
        ("OPENAI_API_KEY=abcdef123456", "OPENAI_API_KEY=[redacted:key]"),
        ('{"password": "correct-horse"}', '{"password": "[redacted:key]"}'),
        ("Authorization: Bearer abcdefghijklmnop0123", "Authorization: Bearer [redacted:key]"),
        ("postgres://app:s3cret@db/x", "postgres://[redacted:password]@db/x"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----", "[redacted:key]"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "[redacted:key]"),
        ("0123456789abcdef0123456789ABCDEF", "[redacted:key]"),
        ("IBAN DE89 3704 0044 0532 0130 00 BANK", "IBAN [redacted:iban] BANK"),
        ("call +49 30 901820 now", "call [redacted:phone] now"),
    ],
)
def test_what_is_a_secret(text: str, cleaned: str) -> None:
    assert redact(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "",
        "build api",
        "a budget of 1,250,000 euros by 2026-11-21T10:00:00",
        "version 3.14.159, port 8080, 192.168.0.1, 2^64 = 18446744073709551616",
        "timestamp 1763719200000 and in nanoseconds 1763719200000000000",
        "pi is 3.14159265358979323846, not 0.4111111111111111",
        "4111 1111 1111 1112 fails the check",
        "request 3f2b8a52-97d4-4a1e-8e77-0a1b2c3d4e5f",
        "follow @someone, a@b, the token economy, password reset, key: value",
        "a_long_name_of_a_function_in_a_program",
    ],
)
def test_what_is_not(text: str) -> None:
    assert redact(text) == text


@given(st.integers(-(10**12), 10**12), st.floats(-1e12, 1e12))
def test_ordinary_numbers_stay(whole: int, real: float) -> None:
    assert redact(f"{whole} and {real:.12f}") == f"{whole} and {real:.12f}"


def test_every_string_of_a_value_is_redacted() -> None:
    value: Any = {"to a@b.cc": ["a@b.cc", 4111111111111111, None, {"x": ("a@b.cc",)}], "n": 1.5}
    mark = "[redacted:email]"
    assert redact_all(value) == {f"to {mark}": [mark, 4111111111111111, None, {"x": [mark]}], "n": 1.5}
    assert orjson.dumps(redact_all(value))


def test_an_alias_is_stable_and_says_nothing() -> None:
    assert alias("ann") == "ann"
    assert alias("ann@example.com") == alias("ann@example.com")
    assert alias("ann@example.com") != alias("bob@example.com")
    assert "ann" not in alias("ann@example.com")
    assert alias(alias("ann@example.com")) == alias("ann@example.com")
