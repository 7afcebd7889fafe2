"""A checkout with a set-up script and what it reads, run as a user runs it; only the interpreter is ours."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = "scripts/environment.sh"

# Answers to `-c`, makes a venv around itself, and notes what pip is asked; fails while `offline` exists.
PYTHON = """#!/bin/bash
here=$(dirname "$(dirname "$(dirname "$0")")")
case "$1 $2" in
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip") printf '%s\\n' "$*" >>"$here/pip.log" && [ ! -e "$here/offline" ] ;;
esac
"""


@dataclass(frozen=True)
class Project:
    """`script` lies in scripts/ under `root`, whose path is as awkward as they come."""

    root: Path
    script: str

    def setup(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.root / "scripts" / self.script), *arguments],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "PYTHON": str(self.root / "fake python"), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def pip_calls(self) -> list[str]:
        log = self.root / "pip.log"
        return log.read_text().splitlines() if log.exists() else []


def make_project(folder: Path, script: str, pins: Sequence[str]) -> Project:
    root = folder / "a 'project' $(touch x)"
    for name in (f"scripts/{script}", SHARED, *pins):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / "fake python").write_text(PYTHON)
    (root / "fake python").chmod(0o755)
    return Project(root, script)
