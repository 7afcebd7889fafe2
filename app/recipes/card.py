"""What a run leaves beside its weights: card.json and card.md with its lineage, loss.png with its curve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ENGINES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "unsloth", "unsloth_zoo")


def versions() -> dict[str, str]:
    found = {}
    for package in ENGINES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_card(directory: Path, card: Mapping[str, Any]) -> None:
    (directory / "card.json").write_text(json.dumps(card, indent=2, default=str) + "\n", encoding="utf-8")
    rows = [f"| {name} | {_cell(value)} |" for name, value in card.items() if not isinstance(value, Mapping)]
    tables = [_table(name, value) for name, value in card.items() if isinstance(value, Mapping)]
    text = "\n".join(
        ["# Training card", "", "| | |", "| --- | --- |", *rows, *tables, "", "![loss](loss.png)", ""]
    )
    (directory / "card.md").write_text(text, encoding="utf-8")


def _table(name: str, values: Mapping[str, Any]) -> str:
    rows = "\n".join(f"| {key} | {_cell(value)} |" for key, value in values.items())
    return f"\n## {name}\n\n| | |\n| --- | --- |\n{rows}"


def _cell(value: Any) -> str:
    """One line of a Markdown table, whatever a name holds."""
    return json.dumps(value, default=str, ensure_ascii=False).replace("|", "\\|").replace("`", "'")


def draw_loss(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """The training and evaluation loss of transformers' log, over the steps."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    for name in ("loss", "eval_loss"):
        points = [(line["step"], line[name]) for line in history if name in line]
        if points:
            axes.plot(*zip(*points, strict=True), marker="." if len(points) < 100 else "", label=name)
    axes.set(xlabel="step", ylabel="loss")
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")
    plt.close(figure)
