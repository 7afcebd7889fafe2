"""Lays a recipe beside its configuration, so that `python script.py` trains without arguments.

Values go into JSON, never into code: the script is a copy of the recipe, byte for byte.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from app.errors import InvalidInput
from app.recipes.arguments import EvaluateArguments, PreferenceArguments, SftArguments, parse
from app.recipes.output import check_free

Recipe = Literal["sft", "preference", "evaluate"]

KINDS: dict[Recipe, type[Any]] = {
    "sft": SftArguments,
    "preference": PreferenceArguments,
    "evaluate": EvaluateArguments,
}
PARTS = (
    "app/__init__.py",
    "app/errors.py",
    "app/recipes/__init__.py",
    "app/recipes/arguments.py",
    "app/recipes/card.py",
    "app/recipes/drawing.py",
    "app/recipes/engine.py",
    "app/recipes/launch.py",
    "app/recipes/model.py",
    "app/recipes/output.py",
    "app/recipes/progress.py",
    "app/recipes/rows.py",
    "app/recipes/scoring.py",
    "app/recipes/training.py",
    "app/recipes/weights.py",
)
"""What the recipes import from `app`; copied beside the script under the same names."""
_ROOT = Path(__file__).resolve().parents[2]
_PATHS = ("dataset", "eval_dataset", "output", "adapter", "job_dir")


def render(recipe: Recipe, config: Mapping[str, Any], script: Path) -> Path:
    """Write `script`, `<stem>.json` and the parts beside it; returns the script's absolute path.

    Paths in `config` are made absolute. Raises InvalidInput: an unknown key, a bad value, an output that
    is not empty, a script that cannot be written.
    """
    script = Path(script).absolute()
    _check_name(script)
    arguments = asdict(parse(KINDS[recipe], config))
    arguments = {name: _absolute(name, value) for name, value in arguments.items()}
    if recipe != "evaluate":
        check_free(Path(arguments["output"]))
    try:
        for part in PARTS:
            _write(script.parent / part, (_ROOT / part).read_bytes())
        _write(script.with_suffix(".json"), json.dumps(arguments, indent=2).encode() + b"\n")
        _write(script, (_ROOT / "app" / "recipes" / f"{recipe}.py").read_bytes())
    except OSError as fault:
        raise InvalidInput(f"cannot write the script {script}: {fault}") from fault
    return script


def _check_name(script: Path) -> None:
    """Python looks for imports beside a script first: one named torch.py would be taken for torch."""
    taken = {"app", "accelerate", "datasets", "matplotlib", "peft", "torch", "transformers", "trl", "unsloth"}
    if script.suffix != ".py" or script.stem in taken | set(sys.stdlib_module_names):
        raise InvalidInput(f"the script {script.name} must end in .py and bear no module's name")


def _absolute(name: str, value: Any) -> Any:
    """A relative path means the directory of whoever calls `render`, not of whoever runs the script."""
    if name == "model_name" and value and Path(value).is_dir():
        return str(Path(value).absolute())
    if isinstance(value, list | tuple) and name in {"datasets", "adapters"}:
        return [None if one is None else str(Path(one).absolute()) for one in value]
    return str(Path(value).absolute()) if name in _PATHS and value else value


def _write(path: Path, content: bytes) -> None:
    """All of it or, after a crash, what was there before; a link at `path` is replaced, not followed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
