"""Rows of a JSONL file as TRL takes them, and what is known about them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidInput
from app.recipes.arguments import TrainingArguments
from app.recipes.drawing import WEIGHT, drawn, parted, weight_of

Row = dict[str, Any]


@dataclass(frozen=True)
class Split:
    """What is learned from and what is evaluated on."""

    train: Any
    """A datasets.Dataset."""
    evaluation: Any | None
    digest: str
    """SHA-256 of the dataset file, hex."""
    read: int
    too_long: int
    distinct: int
    """Of the rows to learn from, without those that their weight repeats."""


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """The rows, cut to `columns` and their weight.

    Raises InvalidInput: no file, no rows, no JSON, a column missing, a weight that is none.
    """
    rows = objects(path)
    for number, row in enumerate(rows, start=1):
        if not row.keys() >= set(columns):
            raise InvalidInput(f"row {number} of {path} must have {', '.join(columns)}")
    return [{**{name: row[name] for name in columns}, WEIGHT: weight_of(row)} for row in rows]


def objects(path: Path) -> list[Row]:
    """Every line. Raises InvalidInput: no file, no rows, a line that is no JSON object."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, ValueError) as fault:
        raise InvalidInput(f"cannot read the dataset {path}: {fault}") from fault
    if not rows or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(f"the dataset {path} has no rows, or one that is no JSON object")
    return rows


def read_answers(path: Path) -> list[Row]:
    """Rows of prompt and completion; `messages` are cut before their last turn, which must be the answer."""
    if "messages" not in objects(path)[0]:
        return read_rows(path, ("prompt", "completion"))
    rows = read_rows(path, ("messages",))
    for number, row in enumerate(rows, start=1):
        if len(row["messages"]) < 2 or row["messages"][-1].get("role") != "assistant":
            raise InvalidInput(f"row {number} of {path} must end with an assistant's answer")
    return [
        {"prompt": row["messages"][:-1], "completion": row["messages"][-1:], WEIGHT: row[WEIGHT]}
        for row in rows
    ]


def read_held_out(path: Path, most: int) -> list[Row]:
    """Rows with a prompt and a picked answer; `messages` are cut before their last turn. 0: all rows."""
    rows = [_picked(row) for row in objects(path)]
    kept = [row for row in rows if row is not None]
    if not kept:
        raise InvalidInput(f"no row of {path} has a prompt and a picked answer")
    return kept[:most] if most else kept


def _picked(row: Row) -> Row | None:
    if "messages" in row:
        row = {**row, "prompt": row["messages"][:-1], "completion": row["messages"][-1:]}
    answer = row.get("completion", row.get("chosen"))
    return {**row, "chosen": answer} if row.get("prompt") and answer and row.get("label", True) else None


def split(arguments: TrainingArguments, rows: list[Row], evaluation: list[Row], tokenizer: Any) -> Split:
    """Without the rows that are too long, drawn by weight.

    Held out is the share eval_split, drawn by seed, where no other file was read; it is not weighed.
    Raises InvalidInput where nothing is left.
    """
    kept = [row for row in rows if length(row, tokenizer) <= arguments.max_length]
    if not kept:
        raise InvalidInput(f"each row of {arguments.dataset} is longer than {arguments.max_length} tokens")
    train, held, distinct = weighed(arguments, kept, evaluation)
    import datasets

    return Split(
        datasets.Dataset.from_list(train),
        datasets.Dataset.from_list(held) if held else None,
        hashlib.sha256(Path(arguments.dataset).read_bytes()).hexdigest(),
        read=len(rows),
        too_long=len(rows) - len(kept),
        distinct=distinct,
    )


def weighed(
    arguments: TrainingArguments, rows: list[Row], evaluation: list[Row]
) -> tuple[list[Row], list[Row], int]:
    """Rows to learn from as often as they weigh, rows to evaluate on, and how many of the former differ."""
    share = 0.0 if evaluation else arguments.eval_split
    learned, held = parted(len(rows), share, arguments.seed)
    places = [learned[place] for place in drawn([rows[one][WEIGHT] for one in learned], arguments.seed)]
    train = [_plain(rows[place]) for place in places]
    return train, [_plain(row) for row in evaluation or [rows[place] for place in held]], len(set(places))


def _plain(row: Row) -> Row:
    """As TRL takes it: the weight has done its work."""
    return {name: value for name, value in row.items() if name != WEIGHT}


def length(row: Mapping[str, Any], tokenizer: Any) -> int:
    """Tokens of the prompt with its longest answer."""
    answers = [value for name, value in row.items() if name in {"completion", "chosen", "rejected"}]
    return max(sum(map(len, ids_of(row["prompt"], answer, tokenizer))) for answer in answers)


def ids_of(prompt: Any, answer: Any, tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokens of the prompt, as it is served, and of the answer after it; no answer: none."""
    if isinstance(prompt, str):
        before = list(tokenizer(prompt)["input_ids"])
        whole = list(tokenizer(prompt + (answer or ""))["input_ids"])
    else:
        template = {"tokenize": True, "return_dict": False}
        before = list(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, **template))
        whole = list(tokenizer.apply_chat_template([*prompt, *answer], **template)) if answer else before
    return before, whole[len(before) :]
