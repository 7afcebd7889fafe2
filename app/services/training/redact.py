"""Secrets out of texts before they reach a file: keys, card numbers, e-mail addresses and the like.

Every pattern is anchored at the start of a word or written with possessive quantifiers, so that
the time is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.text import pseudonym

_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?!-----END).)*+(?:-----END [A-Z ]*-----)?", re.DOTALL
)
_KEY = re.compile(
    r"""(?<![A-Za-z0-9])(?:
        (?:sk|pk|rk|whsec|ak)[-_][A-Za-z0-9_-]{16,}+   # OpenAI, Anthropic, Stripe
      | gh[pousr]_[A-Za-z0-9]{20,}+ | github_pat_\w{20,}+ | gl[a-z]{2,5}-[\w-]{16,}+
      | xox[a-z]-[A-Za-z0-9-]{10,}+                    # Slack
      | (?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}            # AWS
      | AIza[\w-]{35} | ya29\.[\w-]{20,}+              # Google
      | hf_[A-Za-z0-9]{20,}+ | npm_[A-Za-z0-9]{30,}+ | pypi-[\w-]{16,}+ | SG\.[\w-]{16,}+\.[\w-]{16,}+
      | eyJ[\w-]{8,}+\.[\w-]{8,}+(?:\.[\w-]*+)?        # a JSON web token
    )""",
    re.VERBOSE,
)
_ASSIGNED = re.compile(
    r"""(?<![A-Za-z0-9])
    ((?:[A-Za-z0-9]{1,32}[_-]){0,4}
     (?:api[_-]?key|secret(?:[_-]?key)?|access[_-]?key|auth[_-]?token|token|password|passwd|pwd)
     ["']?\s{0,3}[:=]\s{0,3}["']?)
    [^\s"',;]{6,}+""",
    re.VERBOSE | re.IGNORECASE,
)
_BEARER = re.compile(r"(?<![A-Za-z0-9])((?:bearer|basic)\s{1,3})[A-Za-z0-9._~+/=-]{16,}+", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^\s/@:]{1,128}:[^\s/@]{1,256}@")
_RANDOM = re.compile(r"(?<![A-Za-z0-9_])(?=[A-Za-z0-9_]*[0-9])(?=[A-Za-z0-9_]*[A-Za-z])[A-Za-z0-9_]{32,}+")
_LOCAL = r"\w.!#$%&'*+/=?^`{|}~-"
_EMAIL = re.compile(rf"(?<![{_LOCAL}])[{_LOCAL}]++@[\w-]{{1,63}}+(?:\.[\w-]{{1,63}}+)+")
_DIGITS = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9](?:[ \u00a0-]?[0-9]){12,}+")
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}+")
_PHONE = re.compile(r"(?<![\w+])\+[1-9](?:[ ()/.-]{0,2}[0-9]){7,14}(?![0-9])")
_UUID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_GROUP = re.compile(r"[0-9]+")


def redact(text: str) -> str:
    """The text with `[redacted:KIND]` in place of what looks like a secret."""
    text = _PEM.sub("[redacted:key]", text)
    text = _KEY.sub("[redacted:key]", text)
    text = _IN_URL.sub("[redacted:password]@", text)
    text = _BEARER.sub(r"\1[redacted:key]", text)
    text = _ASSIGNED.sub(_redact_assigned, text)
    text = _EMAIL.sub("[redacted:email]", text)
    text = _IBAN.sub(_redact_iban, text)
    text = _PHONE.sub("[redacted:phone]", text)
    text = _DIGITS.sub(_redact_cards, text)
    return _RANDOM.sub("[redacted:key]", text)


def redact_all(value: Any) -> Any:
    """A JSON value with every string in it redacted, keys of objects too."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {redact(str(key)): redact_all(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(item) for item in value]
    return value


def alias(identifier: str) -> str:
    """The id, or a digest of it where the id itself looks like a secret: lines stay joinable."""
    if _UUID.fullmatch(identifier) or redact(identifier) == identifier:
        return identifier
    return pseudonym(identifier)


def _redact_assigned(match: re.Match[str]) -> str:
    return match[0] if "[redacted:" in match[0] else match[1] + "[redacted:key]"


def _redact_iban(match: re.Match[str]) -> str:
    """Longest first: words in capitals after an account number are no part of it."""
    for end in range(len(match[0]), 14, -1):
        if match[0][end - 1] != " " and _is_iban(match[0][:end].replace(" ", "")):
            return "[redacted:iban]" + match[0][end:]
    return match[0]


def _is_iban(compact: str) -> bool:
    """ISO 13616: the first four moved to the end, letters as numbers, the remainder by 97 is 1."""
    digits = "".join(str(int(character, 36)) for character in compact[4:] + compact[:4])
    return 15 <= len(compact) <= 34 and int(digits) % 97 == 1


def _redact_cards(match: re.Match[str]) -> str:
    """Replace each span of whole digit groups that is a card number."""
    run, kept, at = match[0], [], 0
    groups = [group.span() for group in _GROUP.finditer(run)]
    for index, (start, _) in enumerate(groups):
        if start < at:
            continue
        end = next((end for end in _card_ends(groups, index) if _is_card(run[start:end])), None)
        if end is not None:
            kept += [run[at:start], "[redacted:card]"]
            at = end
    return "".join([*kept, run[at:]])


def _card_ends(groups: list[tuple[int, int]], first: int) -> Iterator[int]:
    """Where 13 to 19 digits end that begin with this group."""
    digits = 0
    for start, end in groups[first : first + 19]:
        digits += end - start
        if digits > 19:
            return
        if digits >= 13:
            yield end


def _is_card(span: str) -> bool:
    """Digits that an issuer could begin with and that pass Luhn's check."""
    if span[0] not in "23456":
        return False
    numbers = [int(character) for character in span if character.isdigit()]
    doubled = (divmod(2 * number, 10) for number in numbers[-2::-2])
    return (sum(numbers[-1::-2]) + sum(tens + ones for tens, ones in doubled)) % 10 == 0
