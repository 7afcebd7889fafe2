"""What the hypotheses of a running service are worth: by a scorer from outside, or by a simple one."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import httpx
import numpy as np

from app.text import stems
from scripts.bench.loop_records import COUNT, Task

_DRAWS = 2000
_SEED = 7
_ANSWER_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean in percent with its 95 % bootstrap interval."""

    metric: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Score:
    figures: Sequence[Figure]
    producers: Mapping[str, int]
    """Hypotheses by who wrote them."""
    degraded: float
    """Share of answers, 0..1, that another backend gave than the one configured."""


class Scorer(Protocol):
    def __call__(self, url: str, out: Path) -> Score:
        """Ask the service at `url`; every answer may be written to `out`."""
        ...

    def first(self, count: int) -> Scorer:
        """The same on the first `count` tasks."""
        ...


@dataclass(frozen=True, slots=True)
class CommandScorer:
    """Runs `command --url U --data F --out O --concurrency N`.

    F is a JSON list of tasks. It writes JSON: `report`, a list of {metric, value, low, high, n} in percent,
    and `rows`, each with `answer`.
    """

    command: str
    data: Path
    at_once: int
    most: int | None = None

    def __call__(self, url: str, out: Path) -> Score:
        tasks = out.with_name("tasks.json")
        tasks.write_text(json.dumps(json.loads(self.data.read_text("utf-8"))[: self.most]), "utf-8")
        options = {"url": url, "data": tasks, "out": out, "concurrency": self.at_once}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        subprocess.run([*shlex.split(self.command), *words], check=True)
        told = json.loads(out.read_text(encoding="utf-8"))
        figures = [Figure(**one) for one in told["report"] if "low" in one]
        return _score(figures, [row["answer"] for row in told["rows"]])

    def first(self, count: int) -> CommandScorer:
        return replace(self, most=count)


@dataclass(frozen=True, slots=True)
class OverlapScorer:
    """A question asks for the detail with which it shares most stems that the request does not hold.

    recover@3: the importance-weighted share of a task's details that are asked for; tophit@3: whether one of
    the most important is. Simple and easy to cheat: for comparing runs of one's own, not for reporting.
    """

    tasks: Sequence[Task]
    at_once: int

    def __call__(self, url: str, out: Path) -> Score:
        vague = [task for task in self.tasks if task.vague and task.details]
        with ThreadPoolExecutor(self.at_once) as pool:
            answers = list(pool.map(lambda task: _ask(url, task), vague))
        out.write_text(json.dumps(answers), encoding="utf-8")
        found = [_asked_for(*pair) for pair in zip(vague, answers, strict=True)]
        recover, top = zip(*found, strict=True)
        return _score([_figure("recover@3", recover), _figure("tophit@3", top)], answers)

    def first(self, count: int) -> OverlapScorer:
        return replace(self, tasks=self.tasks[:count])


def _ask(url: str, task: Task) -> dict[str, Any]:
    body = {"user_id": task.id, "input_text": task.text, "count": COUNT}
    answer = httpx.post(f"{url}/v1/hypothesize", json=body, timeout=_ANSWER_SECONDS)
    told: dict[str, Any] = answer.raise_for_status().json()
    return told


def _asked_for(task: Task, answer: Mapping[str, Any]) -> tuple[float, float]:
    said = set(stems(task.text))
    wanted = [set(stems(detail.description)) - said for detail in task.details]
    claimed = set()
    for one in answer["hypotheses"]:
        shared = [len(stems_of & set(stems(one["question"]))) for stems_of in wanted]
        if max(shared) > 0:
            claimed.add(int(np.argmax(shared)))
    weights = np.array([detail.importance for detail in task.details])
    hit = np.array([place in claimed for place in range(len(weights))])
    return float(weights[hit].sum() / weights.sum()), float(hit[weights == weights.max()].any())


def _figure(metric: str, values: Sequence[float]) -> Figure:
    drawn = np.random.default_rng(_SEED).choice(values, (_DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    mean, low, high = (round(100 * float(one), 1) for one in (np.mean(values), low, high))
    return Figure(metric, mean, low, high, len(values))


def share(values: Sequence[bool]) -> Figure:
    return _figure("share", [float(one) for one in values])


def _score(figures: Sequence[Figure], answers: Sequence[Mapping[str, Any]]) -> Score:
    producers = Counter(one["producer"] for answer in answers for one in answer["hypotheses"])
    degraded = [bool(answer["backend"]["degraded"]) for answer in answers]
    return Score(figures, dict(producers), float(np.mean(degraded)))
