"""What a model makes of held-out rows: `python evaluate.py [config.json] [--name value ...]`, see --help.

It writes JSON lines and judges nothing (log-probabilities in nats):
  {"event": "row", adapter, dataset, row, tokens, logprob, nll, rejected_logprob?, margin?, about}
      the picked answer (completion or chosen) after its prompt; nll = -logprob / tokens; a row of KTO with
      label false is passed over; `about`: the row's other columns
  {"event": "continuation", adapter, dataset, row, messages, prompt_ids, token_ids, logprobs, text, about}
      the likeliest token each time, up to the end of the answer, which is not among them
  {"event": "done", seconds}
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, TextIO

from app.errors import InvalidInput
from app.recipes.arguments import EvaluateArguments
from app.recipes.launch import launch
from app.recipes.rows import read_held_out
from app.recipes.weights import adapter_directory, base_of

TURNS = {"prompt", "completion", "chosen", "rejected", "messages", "label"}


def evaluate(arguments: EvaluateArguments, job_dir: Path) -> None:
    output = job_dir / arguments.output
    if output.exists() or output.is_symlink():
        raise InvalidInput(f"the output {output} is there: name another, nothing is overwritten")
    files = {path: read_held_out(Path(path), arguments.max_rows) for path in arguments.datasets}
    base_of(arguments.model_name)
    for directory in filter(None, arguments.adapters):
        adapter_directory(directory)
    from app.recipes.scoring import Scorer

    scorer = Scorer(arguments)
    started = time.monotonic()
    partial = output.with_name(output.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        for adapter in arguments.adapters:
            scorer.put_on(adapter)
            _score(scorer, adapter, files, file)
            _go_on(scorer, adapter, files, file, arguments.prompts)
        _say(file, event="done", seconds=round(time.monotonic() - started, 2))
    partial.rename(output)


def _score(scorer: Any, adapter: str | None, files: dict[str, list[Any]], file: TextIO) -> None:
    for path, rows in files.items():
        for number, row in enumerate(rows):
            figures = scorer.score(row)
            _say(file, event="row", adapter=adapter, dataset=path, row=number, **figures, about=_about(row))


def _go_on(scorer: Any, adapter: str | None, files: dict[str, list[Any]], file: TextIO, most: int) -> None:
    rows = [(path, number, row) for path, found in files.items() for number, row in enumerate(found)]
    for path, number, row in rows[:most]:
        said = scorer.go_on(row["prompt"])
        _say(
            file,
            event="continuation",
            adapter=adapter,
            dataset=path,
            row=number,
            messages=row["prompt"],
            **said,
            about=_about(row),
        )


def _about(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in TURNS}


def _say(file: TextIO, **line: Any) -> None:
    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    launch(EvaluateArguments, evaluate, __file__)
