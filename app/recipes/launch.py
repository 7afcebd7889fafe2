"""How a recipe begins and ends: configuration in, exit status out. Standard library only.

0: done; 2: the input is at fault, said in one line; anything else: a failure, with its traceback in the log.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from app.errors import InvalidInput
from app.recipes.arguments import parse

A = TypeVar("A")

_ENVIRONMENT = {"HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
"""Read by the libraries when they are imported, which is later."""


def launch(kind: type[A], recipe: Callable[[A, Path], None], script: str) -> None:
    """Run `recipe` with its arguments and the directory of its configuration, then exit."""
    try:
        arguments, job_dir = read(kind, Path(script), sys.argv[1:])
        os.environ.update(_ENVIRONMENT)
        if not sys.stderr.isatty():
            os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
        recipe(arguments, job_dir)
    except InvalidInput as fault:
        sys.exit(_refusal(script, fault.detail))
    except ModuleNotFoundError as fault:
        if str(fault.name).split(".")[0] == "app":
            raise
        sys.exit(
            _refusal(
                script, f"{fault.name} is not installed here: run scripts/setup_train.sh, use its Python"
            )
        )


def _refusal(script: str, reason: str) -> int:
    sys.stderr.write(f"{Path(script).name}: {' '.join(reason.split())}\n")
    return 2


def read(kind: type[A], script: Path, argv: Sequence[str]) -> tuple[A, Path]:
    """The arguments and where their file lies: `[config.json] [--name value ...]`; what is said wins."""
    said = vars(_parser(kind, script).parse_args(argv))
    path = Path(said.pop("config") or script.with_suffix(".json"))
    return parse(kind, {**_read_config(path), **said}), path.resolve().parent


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise InvalidInput(f"cannot read the configuration {path}: {fault}") from fault
    if not isinstance(config, dict):
        raise InvalidInput(f"the configuration {path} must be a JSON object")
    return config


def _parser(kind: type[Any], script: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=script.name, description=kind.__doc__)
    parser.add_argument(
        "config", nargs="?", help=f"JSON with these arguments (default: {script.stem}.json beside it)"
    )
    hints = get_type_hints(kind)
    for one in fields(kind):
        parser.add_argument(f"--{one.name}", **_option(one, hints[one.name]))
    return parser


def _option(one: Field[Any], hint: Any) -> dict[str, Any]:
    option: dict[str, Any] = {"default": argparse.SUPPRESS, "help": one.metadata["help"].replace("%", "%%")}
    if hint is bool:
        return {**option, "action": argparse.BooleanOptionalAction}
    if get_origin(hint) is tuple:
        return {**option, "nargs": "+", "metavar": "PATH"}
    read_as = next((kind for kind in (float, int) if kind is hint), str)
    return {
        **option,
        "type": read_as,
        "metavar": "|".join(map(str, one.metadata["choices"])) or read_as.__name__,
    }
