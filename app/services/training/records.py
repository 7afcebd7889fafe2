"""From the lines of the four files to records that can be judged: joined by request, read leniently.

A line that is torn, or of another form, is counted by its reason and left out. Lines of other tenants are
not looked at and not counted: what one tenant does leaves no trace in the datasets of another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from app.services.training.lines import FEEDBACK, FILES, HYPOTHESES, PERSONAS, RANKINGS

Line = Mapping[str, Any]
User = tuple[str, str]
"""Tenant and user, as the files write them."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a user said, and how sure the label is."""

    record_id: str
    confidence: float
    content: Mapping[str, Any]
    time: datetime


@dataclass(slots=True)
class Asked:
    """One answered request: what was shown, and every mark that came for it."""

    user: User
    request_id: str
    line: Line
    """Of the marks' lines and its own, which all repeat the request, the first."""
    time: datetime
    picks: list[Mark] = field(default_factory=list)
    undone: list[Mark] = field(default_factory=list)
    judged: list[Mark] = field(default_factory=list)

    @property
    def marks(self) -> list[Mark]:
        return [*self.picks, *self.undone, *self.judged]


@dataclass(slots=True)
class Learned:
    """What one piece of evidence changed in a persona."""

    user: User
    evidence: str
    time: datetime
    messages: Any
    prompt_version: str
    facets: dict[str, Mark] = field(default_factory=dict)
    """By name; the content is the facet after."""


@dataclass(slots=True)
class Records:
    """All that the files hold of some tenants."""

    asked: dict[tuple[str, str], Asked] = field(default_factory=dict)
    ranked: dict[tuple[str, str], Asked] = field(default_factory=dict)
    learned: dict[tuple[User, str], Learned] = field(default_factory=dict)
    choices: dict[tuple[str, str], Mark] = field(default_factory=dict)
    """By tenant and id of the choice."""
    read: Counter[str] = field(default_factory=Counter)
    """Lines by file."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Lines by `file: reason`."""


def read_records(directory: Path, tenants: Collection[str]) -> Records:
    """Blocking. A file that is not there is empty; raises OSError where one cannot be read."""
    found = Records()
    held: defaultdict[str, list[tuple[datetime, str, Line]]] = defaultdict(list)
    for name in FILES:
        seen: set[tuple[str, str]] = set()
        for line in _lines(directory / name, tenants, found):
            key = (line["tenant"], str(line["record_id"]))
            if key not in seen:
                seen.add(key)
                held[name].append((_time(line), key[1], line))
    for name in (HYPOTHESES, RANKINGS, FEEDBACK, PERSONAS):
        for moment, _, line in sorted(held[name], key=lambda one: (one[0], one[1])):
            try:
                _ADD[name](found, line, moment)
            except (KeyError, TypeError, ValueError, AttributeError):
                found.dropped[f"{name}: not of this form"] += 1
    return found


def _lines(path: Path, tenants: Collection[str], found: Records) -> Iterator[Line]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for raw in file:
            try:
                line = orjson.loads(raw)
                told = line["tenant"] in tenants and bool(line["record_id"]) and bool(_time(line))
            except orjson.JSONDecodeError:
                found.dropped[f"{path.name}: not JSON"] += 1
            except (KeyError, TypeError, ValueError):
                found.dropped[f"{path.name}: not of this form"] += 1
            else:
                if told:
                    found.read[path.name] += 1
                    yield line


def _time(line: Line) -> datetime:
    moment = datetime.fromisoformat(line["time"])
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _user(line: Line) -> User:
    return line["tenant"], str(line["user_id"])


def _mark(line: Line, content: object, moment: datetime) -> Mark:
    if not isinstance(content, Mapping):
        raise TypeError("a mark is an object")
    return Mark(line["record_id"], float(line["label_confidence"]), content, moment)


def _request(held: dict[tuple[str, str], Asked], line: Line, moment: datetime) -> Asked:
    key = (line["tenant"], str(line["request_id"]))
    if key not in held:
        held[key] = Asked(_user(line), key[1], line, moment)
    return held[key]


def _add_hypotheses(found: Records, line: Line, moment: datetime) -> None:
    marks = {"shown": None, "picked": "picks", "undone": "undone"}[line["event"]]
    mark = _mark(line, orjson.loads(line["picked"]), moment) if marks else None
    asked = _request(found.asked, line, moment)
    if marks and mark:
        getattr(asked, marks).append(mark)


def _add_ranking(found: Records, line: Line, moment: datetime) -> None:
    mark = _mark(line, orjson.loads(line["labels"]), moment)
    asked = _request(found.ranked, line, moment)
    if line["event"] == "labelled":
        asked.judged.append(mark)


def _add_feedback(found: Records, line: Line, moment: datetime) -> None:
    mark = _mark(line, orjson.loads(line["content"]), moment)
    if line["event"] == "choice":
        said = {**mark.content, "input_text": str(line["input_text"])}
        identity = line["record_id"].removeprefix("choice:")
        found.choices[line["tenant"], identity] = Mark(mark.record_id, mark.confidence, said, moment)
    elif (asked := found.asked.get((line["tenant"], line["request_id"]))) is not None:
        rated = {**mark.content, "rating": float(line["rating"])}
        asked.judged.append(Mark(mark.record_id, mark.confidence, rated, moment))


def _add_persona(found: Records, line: Line, moment: datetime) -> None:
    after = orjson.loads(line["after"])
    mark = _mark(line, after, moment)
    key = (_user(line), str(line["request_id"]))
    learned = found.learned.setdefault(
        key,
        Learned(key[0], key[1], moment, orjson.loads(line["messages"]), str(line["prompt_version"])),
    )
    learned.facets[str(after["name"])] = mark


_ADD = {
    HYPOTHESES: _add_hypotheses,
    RANKINGS: _add_ranking,
    FEEDBACK: _add_feedback,
    PERSONAS: _add_persona,
}
