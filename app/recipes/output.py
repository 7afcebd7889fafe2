"""A run's directories: the output appears whole or not at all. Standard library only.

Work happens in `<output>.partial`; the last step renames it to `<output>`.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.errors import InvalidInput
from app.recipes.arguments import TrainingArguments

_SAID = "arguments.json"
_CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")
_FREE = {
    "resume",
    "job_dir",
    "threads",
    "save_steps",
    "log_steps",
    "manifest_id",
    "base_name",
    "output",
    "save",
}
"""What a resumed run may say differently: it changes no weight."""


class Workplace:
    """Where one run writes."""

    def __init__(self, arguments: TrainingArguments) -> None:
        """Raises InvalidInput: the output is taken, or an unfinished run lies there that this one is not."""
        self.output = Path(arguments.output).absolute()
        self.partial = self.output.with_name(self.output.name + ".partial")
        check_free(self.output)
        self.checkpoint = self._newest_checkpoint()
        """To go on from; None: a fresh start."""
        if self.checkpoint is not None:
            self._check_same(arguments)

    def open(self, arguments: TrainingArguments) -> None:
        """Make the place, unless the run goes on from a checkpoint; what never had one is dropped."""
        if self.checkpoint is None:
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=True)
            (self.partial / _SAID).write_text(json.dumps(_said(arguments)), encoding="utf-8")

    def _newest_checkpoint(self) -> Path | None:
        complete = [path for path in self.partial.glob("checkpoint-*") if _is_complete(path)]
        return max(complete, key=_step, default=None)

    def _check_same(self, arguments: TrainingArguments) -> None:
        if not arguments.resume:
            raise InvalidInput(f"an unfinished run lies in {self.partial}: say resume, or delete it")
        before = json.loads((self.partial / _SAID).read_text(encoding="utf-8"))
        now = _said(arguments)
        changed = sorted(name for name in now.keys() - _FREE if now[name] != before.get(name))
        if changed:
            raise InvalidInput(
                f"the unfinished run in {self.partial} had other {', '.join(changed)}: delete it"
            )

    def finish(self) -> None:
        """Drop the checkpoints and give the result its name."""
        for path in self.partial.glob("checkpoint-*"):
            shutil.rmtree(path)
        for name in (_SAID, "README.md", "training_args.bin"):
            (self.partial / name).unlink(missing_ok=True)
        if self.output.exists():
            self.output.rmdir()
        self.partial.rename(self.output)


def check_free(output: Path) -> None:
    """Raises InvalidInput unless the path is absent or an empty directory (no link to one)."""
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise InvalidInput(f"the output {output} exists and is not a directory: name another")
    if output.is_dir() and any(output.iterdir()):
        raise InvalidInput(f"the output {output} is not empty: name another, nothing is overwritten")


def _said(arguments: TrainingArguments) -> dict[str, Any]:
    """The arguments, and what the dataset held: its path alone would not tell a dataset made anew."""
    return {
        **asdict(arguments),
        "dataset_sha256": hashlib.sha256(Path(arguments.dataset).read_bytes()).hexdigest(),
    }


def _step(checkpoint: Path) -> int:
    found = _CHECKPOINT.fullmatch(checkpoint.name)
    return int(found[1]) if found else -1


def _is_complete(checkpoint: Path) -> bool:
    """Whether transformers came to its last write, the state; a kill may have come before or within it."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(state.get("global_step") == _step(checkpoint))
