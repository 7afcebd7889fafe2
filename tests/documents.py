"""What a page of documentation says that can be checked: commands, links, tables."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "VLLM_GUIDE.md", "local-models/README.md", "docs/why.md", "CHANGELOG.md")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ASSIGNMENT = re.compile(r"[A-Z][A-Z0-9_]*=")


@dataclass(frozen=True)
class Command:
    """One simple command of a fenced block, or of a pipe in it."""

    page: str
    words: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"

    @property
    def flags(self) -> list[str]:
        return [word.partition("=")[0] for word in self.words if word.startswith("--")]

    def after(self, option: str) -> str:
        return self.words[self.words.index(option) + 1]


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return [body for name, body in _BLOCK.findall(text_of(page)) if name == language]


def commands(page: str) -> Iterator[Command]:
    """Of `bash` blocks every line, of `console` blocks what follows a prompt."""
    for body in blocks(page, "bash"):
        for line in _whole_lines(body.splitlines()):
            yield from _simple(page, line)
    for body in blocks(page, "console"):
        for line in _whole_lines(body.splitlines()):
            if line.startswith("$ "):
                yield from _simple(page, line[2:])


def table(page: str, *head: str) -> list[list[str]]:
    """The rows, as cells without their backticks, of the table whose head begins with these words."""
    rows: list[list[str]] = []
    wanted = False
    for line in text_of(page).splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split(" |")]
        if not line.startswith("| "):
            wanted = False
        elif wanted and not line.startswith("| ---"):
            rows.append(cells)
        elif cells[: len(head)] == [*head]:
            wanted = True
    return rows


def _whole_lines(lines: list[str]) -> Iterator[str]:
    """Lines joined where a quote is open or a backslash stands at the end."""
    whole = ""
    for line in lines:
        whole += line
        if whole.endswith("\\"):
            whole = whole[:-1]
        elif not _is_open(whole):
            yield whole
            whole = ""


def _is_open(line: str) -> bool:
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return True
    return False


def _simple(page: str, line: str) -> Iterator[Command]:
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), "|"]:
        if word not in {"|", "&&"}:
            words.append(word)
        elif words:
            count = next(n for n, each in enumerate([*words, ""]) if not _ASSIGNMENT.match(each))
            settings = tuple(
                (name, value) for name, _, value in (each.partition("=") for each in words[:count])
            )
            yield Command(page, tuple(words[count:]), settings)
            words = []
