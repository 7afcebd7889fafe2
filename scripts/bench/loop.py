"""The training loop for real: records, dataset, training, hot-load, scores: `python -m scripts.bench.loop`.

IN3's annotated tasks are the records of users; a LoRA is trained on them by the recipe in venv-train, loaded
into a running vLLM, and the service is scored with and without it. A stage whose inputs are what they were is
not done again: each lies in --work under the digest of what went into it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from app.clients.slm.prompts import PROMPT_VERSION
from scripts.bench import loop_records
from scripts.bench.__main__ import machine
from scripts.bench.loop_records import Task, make_dataset, read_tasks
from scripts.bench.loop_scoring import CommandScorer, Figure, OverlapScorer, Score, Scorer, share
from scripts.bench.loop_serving import load, unaided, vllm
from scripts.bench.loop_training import Schedule, Trained, publish, train
from scripts.bench.servers import ROOT, free_port, serving

_IN3 = ROOT / "data" / "playbook" / "in3.jsonl"
_GATED_SHARE = 0.03
"""Of the records, held out for the evaluation loss and the gates."""
_UNAIDED = 48
"""Requests that are answered once more without a grammar."""
_SECONDS = "600"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: how the service is set."""

    name: str
    tuned: bool | None
    """Whether the model has the adapter; None: no model at all."""
    examples: bool
    merged: bool = True
    most: int = 0
    """Tasks that it is scored on; 0: all."""


ROWS = (
    Row("local alone", None, examples=True),
    Row("base model alone", tuned=False, examples=False, merged=False, most=64),
    Row("tuned model alone", tuned=True, examples=False, merged=False),
    Row("tuned model alone, examples in its prompt", tuned=True, examples=True, merged=False),
    Row("tuned model and playbook, merged", tuned=True, examples=True),
)


def main() -> None:
    arguments = _parser().parse_args()
    print(machine(), flush=True)
    asyncio.run(_run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.bench.loop", description=__doc__.split("\n")[0])
    add = parser.add_argument
    add(
        "--scorer", default=os.environ.get("SCORER"), help="command; see CommandScorer [default: own measure]"
    )
    add("--data", type=Path, default=os.environ.get("DATA"), help="its tasks, none of which is trained on")
    add("--model", type=Path, default=ROOT / "local-models" / "smollm2-135m-instruct", help="base model")
    add("--work", type=Path, default=ROOT / "data" / "training" / "loop", help="where stages lie")
    add("--python", type=Path, default=ROOT / "venv-train" / "bin" / "python", help="interpreter that trains")
    add("--at-once", type=int, default=32, help="requests at a time")
    for one in fields(Schedule):
        kind = type(one.default)
        add(f"--{one.name.replace('_', '-')}", type=kind, default=one.default, help="of the recipe")
    return parser


async def _run(arguments: argparse.Namespace) -> None:
    learned, held_out = _split(read_tasks(_IN3), everything=arguments.scorer is not None)
    scorer = _scorer(arguments, held_out)
    work = arguments.work.absolute()
    playbook = _playbook(work, learned, whole=arguments.scorer is not None)
    dataset = await _dataset(work, learned, playbook)
    trained = _trained(arguments, work, dataset)
    _told_of(trained)
    model = arguments.model.absolute()
    with vllm(model, arguments.rank, work / "vllm.log") as url:
        print(f"adapter {trained.name} loaded in {load(url, trained.name, trained.path):.1f} s", flush=True)
        texts = [task.text for task in held_out or learned][:_UNAIDED]
        valid = {
            name: share(unaided(url, name, texts, arguments.at_once)) for name in (model.name, trained.name)
        }
        print(f"\n| {' | '.join(_COLUMNS)} |\n|{' --- |' * len(_COLUMNS)}", flush=True)
        for row in ROWS:
            environment = _environment(row, url, model.name, trained.name, playbook)
            score, seconds = _scored(row, environment, scorer, work, _said(arguments))
            name = {None: "", False: model.name, True: trained.name}[row.tuned]
            print(_line(row, score, valid.get(name), seconds), flush=True)


def _split(tasks: list[Task], everything: bool) -> tuple[list[Task], list[Task]]:
    """To learn from and to score on: every tenth task is held out unless a scorer brings its own."""
    if everything:
        return tasks, []
    kept = [task for place, task in enumerate(tasks) if place % 10]
    return kept, [task for place, task in enumerate(tasks) if place % 10 == 0]


def _scorer(arguments: argparse.Namespace, held_out: Sequence[Task]) -> Scorer:
    if arguments.scorer is None:
        return OverlapScorer(held_out, arguments.at_once)
    if arguments.data is None:
        raise SystemExit("--scorer needs --data")
    return CommandScorer(arguments.scorer, arguments.data.absolute(), arguments.at_once)


def _playbook(work: Path, learned: Sequence[Task], whole: bool) -> Path:
    """What is shipped, or without the tasks that are held out."""
    if whole:
        return _IN3.parent
    known = {task.id for task in learned}
    lines = [
        line for line in _IN3.read_text(encoding="utf-8").splitlines() if json.loads(line)["id"] in known
    ]
    path = work / "playbook.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


async def _dataset(work: Path, learned: Sequence[Task], playbook: Path) -> Path:
    told = [
        [asdict(task) for task in learned],
        _GATED_SHARE,
        PROMPT_VERSION,
        _text(Path(loop_records.__file__)),
    ]
    folder = work / f"records-{_digest(told)}"
    marker = folder / "dataset.txt"
    if not marker.exists():
        folder.mkdir(parents=True)
        marker.write_text(str(await make_dataset(learned, playbook, folder, _GATED_SHARE)), encoding="utf-8")
    return Path(marker.read_text(encoding="utf-8"))


def _trained(arguments: argparse.Namespace, work: Path, dataset: Path) -> Trained:
    schedule = Schedule(**{one.name: getattr(arguments, one.name) for one in fields(Schedule)})
    model = arguments.model.absolute()
    folder = work / f"train-{_digest([_text(dataset), asdict(schedule), model.name])}"
    output = train(dataset, model, schedule, folder, arguments.python.absolute())
    return publish(output, ROOT / "local-models" / "adapters", model, schedule.rank)


def _told_of(trained: Trained) -> None:
    card = trained.card
    names = ("rows", "steps", "epochs", "minutes", "first_loss", "last_loss", "eval_loss", "device")
    print(f"{trained.name}: {', '.join(f'{name} {card[name]}' for name in names)}", flush=True)


def _environment(row: Row, url: str, model: str, adapter: str, playbook: Path) -> dict[str, str]:
    environment = {"PLAYBOOK": str(playbook) if row.examples else "none", "SLM_IMPL": "local"}
    if row.tuned is None:
        return environment
    return environment | {
        "SLM_IMPL": "vllm",
        "VLLM_BASE_URL": f"{url}/v1",
        "VLLM_MODEL_NAME": model,
        "VLLM_LORA_NAME": adapter if row.tuned else "",
        "HYPOTHESES_FROM": "merged" if row.merged else "model",
        "HYPOTHESES_TEMPERATURE": "0",
        "VLLM_TIMEOUT": _SECONDS,
        "REQUEST_TIMEOUT": _SECONDS,
    }


def _scored(
    row: Row, environment: Mapping[str, str], scorer: Scorer, work: Path, said: object
) -> tuple[Score, float]:
    """From the service as it is set; what was scored before, with the same code and settings, is read."""
    settled = {name: value for name, value in environment.items() if name != "VLLM_BASE_URL"}
    folder = work / f"score-{_digest([settled, row.most, said, _code()])}"
    kept = folder / "score.json"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        began, port = time.monotonic(), free_port()
        own = {"DATABASE_URL": f"sqlite:///{folder}/service.db", "API_KEYS": ""}
        (folder / "service.db").unlink(missing_ok=True)
        with serving("app.main:create_app", port, "/health/live", factory=True, **environment, **own):
            chosen = scorer.first(row.most) if row.most else scorer
            score = chosen(f"http://127.0.0.1:{port}", folder / "answers.json")
        told = {"row": row.name, "seconds": time.monotonic() - began, **asdict(score)}
        kept.write_text(json.dumps(told, indent=1), encoding="utf-8")
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    figures = [Figure(**one) for one in found["figures"]]
    return Score(figures, found["producers"], found["degraded"]), found["seconds"]


def _said(arguments: argparse.Namespace) -> object:
    return [arguments.scorer, _text(arguments.data) if arguments.data else ""]


def _code() -> str:
    """Of the service as it stands: another code may answer otherwise."""
    return _digest([_text(path) for path in sorted((ROOT / "app").rglob("*.py"))])


_COLUMNS = ("", "figures", "valid JSON without a grammar", "by producer", "degraded", "minutes")


def _line(row: Row, score: Score, valid: Figure | None, seconds: float) -> str:
    figures = "; ".join(f"{one.metric} {_cell(one)}" for one in score.figures)
    total = sum(score.producers.values()) or 1
    producers = ", ".join(f"{name} {100 * count / total:.0f} %" for name, count in score.producers.items())
    unheld = "" if valid is None else f"{_cell(valid)}"
    return (
        f"| {row.name} | {figures} | {unheld} | {producers} | {100 * score.degraded:.1f} %"
        f" | {seconds / 60:.1f} |"
    )


def _cell(one: Figure) -> str:
    return f"{one.value:.1f} [{one.low:.1f}, {one.high:.1f}] (n={one.n})"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:12]


if __name__ == "__main__":
    main()
