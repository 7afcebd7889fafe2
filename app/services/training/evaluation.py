"""The model's part of the gates: recipes/evaluate.py in a process of its own, read back as values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from app.errors import TrainingFailed
from app.models import Adapter
from app.recipes.render import Recipe, render
from app.services.exam import Continuation, Evaluation
from app.services.gates import Scored
from app.services.training.datasets import row_id
from app.services.training.endings import failure
from app.services.training.processes import start, stop
from app.services.training.runner import Interpreter
from app.services.training.scratch import Scratch
from app.services.training.shelves import LINEAGE, read_lines

_ANSWERS = "answers.jsonl"
_HELD_OUT = ".eval.jsonl"


class RecipeEvaluator:
    """An Evaluator: one process for each adapter, on the machine of the service."""

    def __init__(
        self,
        interpreter: Interpreter,
        directory: Path,
        model: str,
        *,
        most_rows: int = 200,
        seconds: float = 1800,
        lay: Callable[[Recipe, Mapping[str, Any], Path], Path] = render,
    ) -> None:
        """`model`: directory or hub id of the base; `directory` holds what a process writes while it runs.

        `lay` writes the script and its configuration, as recipes.render does.
        """
        self._interpreter, self._scratch, self._model = interpreter, Scratch(directory), model
        self._lay = lay
        self._most_rows, self._seconds = most_rows, seconds

    async def evaluate(self, adapter: Adapter | None, datasets: Sequence[Path], prompts: int) -> Evaluation:
        """See Evaluator. Datasets without a row are passed over; none with one is an empty Evaluation."""
        files = [path for path in datasets if path.is_file() and path.stat().st_size]
        if not files:
            return Evaluation(())
        with self._scratch.place("evaluation") as directory:
            lines = await self._run(directory, adapter, files, prompts)
        voices = {str(path.absolute()): _voices(path) for path in files}
        return Evaluation(
            tuple(_scored(line, voices[line["dataset"]]) for line in lines if line["event"] == "row"),
            tuple(_continuation(line) for line in lines if line["event"] == "continuation"),
        )

    async def _run(
        self, directory: Path, adapter: Adapter | None, files: Sequence[Path], prompts: int
    ) -> list[Mapping[str, Any]]:
        config = {
            "datasets": [str(path) for path in files],
            "model_name": self._model,
            "output": str(directory / _ANSWERS),
            "adapters": [adapter.path if adapter else None],
            "prompts": prompts,
            "max_rows": self._most_rows,
        }
        script = await asyncio.to_thread(self._lay, "evaluate", config, directory / "evaluate_model.py")
        process = await start(self._interpreter.command(script), directory, self._interpreter.environment)
        try:
            async with asyncio.timeout(self._seconds):
                await process.wait()
        except TimeoutError as error:
            raise TrainingFailed(f"the evaluation took more than {self._seconds:.0f} s") from error
        finally:
            status = await asyncio.shield(stop(process, directory, grace_seconds=2.0))
        if status != 0:
            raise TrainingFailed(f"the evaluation failed: {failure(status, directory)}")
        return [orjson.loads(line) for line in (directory / _ANSWERS).read_bytes().splitlines()]


def _voices(path: Path) -> list[str]:
    """Whose each row is, by place; a row of nobody known speaks for itself."""
    lineage = path.with_name(LINEAGE)
    origins = read_lines(lineage) if lineage.is_file() else []
    name = path.name.removesuffix(_HELD_OUT)
    users = {one["row"]: one["users"] for one in origins if one["file"] == name}
    return [str(users.get(row_id(row)) or f"row {place}") for place, row in enumerate(read_lines(path))]


def _scored(line: Mapping[str, Any], voices: Sequence[str]) -> Scored:
    return Scored(voices[line["row"]], line["nll"], line.get("margin"))


def _continuation(line: Mapping[str, Any]) -> Continuation:
    return Continuation(
        messages=tuple(line["messages"]),
        prompt_ids=tuple(line["prompt_ids"]),
        token_ids=tuple(line["token_ids"]),
        logprobs=tuple(line["logprobs"]),
        text=line["text"],
        count=_count(line["messages"]),
    )


def _count(messages: Sequence[Mapping[str, str]]) -> int | None:
    """How many hypotheses the prompt asks for; None where it asks for something else."""
    try:
        count = orjson.loads(messages[-1]["content"]).get("count")
    except (ValueError, AttributeError, IndexError, KeyError):
        return None
    return count if isinstance(count, int) else None
