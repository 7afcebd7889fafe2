#!/usr/bin/env python3
"""Convert IN3's train part (OpenBMB/Tell_Me_More, Apache-2.0) into the shipped playbook.

  python scripts/build_playbook.py TRAIN_JSON data/playbook/in3.jsonl

One JSON object a line: `{id, text, vague, details: [{description, question, importance, options}]}`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any


def entry(number: int, task: dict[str, Any]) -> dict[str, Any]:
    """One task of IN3 in the playbook's own words, stray spaces taken out."""
    return {
        "id": f"in3-{number:04d}",
        "text": clean(task["task"]),
        "vague": task["vague"],
        "details": [
            {
                "description": clean(detail["description"]),
                "question": clean(detail["inquiry"]),
                "importance": detail["importance"],
                "options": mended([option for option in map(clean, detail["options"]) if option]),
            }
            for detail in task["details"]
        ],
    }


def mended(options: list[str]) -> list[str]:
    """Options that the source cut at a comma inside a number or a bracket, put together again."""
    whole: list[str] = []
    for option in options:
        cut_number = whole and re.search(r"\d$", whole[-1]) and re.match(r"\d{3}\b", option)
        cut_bracket = whole and whole[-1].count("(") > whole[-1].count(")")
        if cut_number or cut_bracket:
            whole[-1] += ("," if cut_number else ", ") + option
        else:
            whole.append(option)
    return whole


def clean(text: str) -> str:
    """The text on one line with single spaces."""
    return " ".join(text.split())


def main() -> None:
    """Read the tasks, write the playbook."""
    source, target = map(Path, sys.argv[1:3])
    tasks = json.loads(source.read_text(encoding="utf-8"))
    lines = (json.dumps(entry(n, task), ensure_ascii=False) for n, task in enumerate(tasks))
    target.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    main()
