"""A bad adapter before the gates, and past them before users: `python -m scripts.bench.bad_adapter`.

Simulated users ask IN3's requests of the whole service and type the question that they missed. Of these
records a LoRA is trained twice by the recipe: as they are, and with the answers permuted between the
requests. Both are examined on a real vLLM; the good one goes live, the bad one is forced past the gates into
a trial. Ends with 1 unless the gates reject the bad one and the trial rolls it back.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.clients.slm.probe import VLLMProbe
from app.clients.slm.replicas import VLLMReplica
from app.config import Settings, training_environment
from app.errors import Conflict
from app.models import Adapter
from app.recipes.render import Recipe, render
from app.services.canaries import Canaries, Look, TrialRules
from app.services.candidates import Candidates
from app.services.exam import Evaluation, Evaluator, Examiner
from app.services.experiments import Rules
from app.services.gates import Gate, better_offline
from app.services.shadowing import ShadowRules
from app.services.training.evaluation import RecipeEvaluator
from app.services.training.runner import Interpreter
from scripts.bench.__main__ import machine
from scripts.bench.bad_figures import compared, tell, told_of
from scripts.bench.bad_records import Door, Wish, opened, record, shuffled, sit_down_together, wishes
from scripts.bench.loop_serving import vllm
from scripts.bench.loop_training import Schedule, train
from scripts.bench.servers import ROOT

_TENANT = "default"
_SEED = 7
_SHARE = 0.5
_READY_SECONDS = 300.0
_PROMPTS = 4
_TOKENS = 96
"""Of an answer that is compared token by token."""
_ROWS = 24
"""Held-out rows of each file."""
_RULES = TrialRules(ShadowRules(comparisons=6, times_slower=10.0), Rules(window_seconds=1.0))
"""A sitting is one request here, and counts at once."""


class Remembering:
    """An Evaluator that scores nothing twice."""

    def __init__(self, inner: Evaluator) -> None:
        self._inner = inner
        self.found: dict[str | None, Evaluation] = {}

    async def evaluate(self, adapter: Adapter | None, datasets: Sequence[Path], prompts: int) -> Evaluation:
        name = adapter.name if adapter else None
        if name not in self.found:
            self.found[name] = await self._inner.evaluate(adapter, datasets, prompts)
        return self.found[name]

    def compare(self, candidate: str, live: str | None) -> Gate:
        return better_offline(self.found[candidate].rows, self.found[live].rows)


def main() -> None:
    arguments = _parser().parse_args()
    print(machine(), flush=True)
    sys.exit(0 if asyncio.run(_run(arguments)) else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench.bad_adapter", description=__doc__.split("\n")[0]
    )
    add = parser.add_argument
    model = ROOT / "local-models" / "smollm2-135m-instruct"
    add("--model", type=Path, default=model, help="base model")
    add("--work", type=Path, default=ROOT / "data" / "training" / "bad-adapter", help="where stages lie")
    add("--python", type=Path, default=ROOT / "venv-train" / "bin" / "python", help="interpreter that trains")
    add("--records", type=int, default=140, help="requests of the users whose records are learned from")
    add("--steps", type=int, default=45, help="optimizer steps of each adapter")
    add("--batch", type=int, default=4, help="rows in one step")
    add("--users", type=int, default=240, help="users of the trial, at most")
    add("--at-once", type=int, default=8, help="users at a time")
    return parser


async def _run(arguments: argparse.Namespace) -> bool:
    work, model = arguments.work.absolute(), arguments.model.absolute()
    wanted = wishes(arguments.records, _SEED)
    dataset = await _dataset(work, wanted)
    mixed = shuffled(dataset, work / "shuffled" / dataset.parent.name / dataset.name, _SEED)
    schedule = _schedule(arguments.steps, arguments.batch)
    outputs = {
        name: _trained(name, rows, work, schedule, arguments)
        for name, rows in (("good", dataset), ("bad", mixed))
    }
    with vllm(model, schedule.rank, work / "vllm.log") as url:
        async with opened(_serving(work, url, model)) as door:
            evaluator = Remembering(_evaluator(work, model, arguments.python))
            async with _examining(door, evaluator, url, model) as candidates:
                good, bad = await _examined(door, candidates, evaluator, outputs)
            look = await _trial(door, bad, wanted, arguments.users, arguments.at_once)
            tell(look, good)
            after = (await door.services.promotion.track(_TENANT, bad.name)).adapter.state
            print(f"the bad adapter is {after}, {good.name} stays live")
    return bad.state == "rejected" and after == "rolled_back"


async def _dataset(work: Path, wanted: Sequence[Wish]) -> Path:
    """Of records made by the whole service with the local backend; made once for each set of requests."""
    marker = work / f"records-{_digest([one.missed for one in wanted])}.txt"
    if not marker.exists():
        _clear(work, "records.db*", "training")
        async with opened(_settings(work, "records", work / "training")) as door:
            await record(door, wanted)
            made = await door.services.training.prepare(_TENANT, ("hypotheses", "preferences"))
        marker.write_text(str(made[0].path), encoding="utf-8")
    return Path(marker.read_text(encoding="utf-8"))


def _schedule(steps: int, batch: int) -> Schedule:
    return Schedule(
        max_steps=steps, rank=8, alpha=16, learning_rate=1e-3, warmup_steps=3, batch=batch, accumulation=1,
        max_length=768,
    )  # fmt: skip


def _trained(name: str, dataset: Path, work: Path, schedule: Schedule, arguments: argparse.Namespace) -> Path:
    """Where the service may register it from."""
    told = _digest([dataset.read_text(encoding="utf-8"), asdict(schedule)])
    folder = work / "adapters" / "trained" / _TENANT / f"{name}-{told}"
    folder.mkdir(parents=True, exist_ok=True)
    output = train(dataset, arguments.model.absolute(), schedule, folder, arguments.python.absolute())
    card = json.loads((output / "card.json").read_text(encoding="utf-8"))
    figures = ("rows", "steps", "minutes", "first_loss", "last_loss", "device")
    print(f"{name}: {', '.join(f'{figure} {card[figure]}' for figure in figures)}", flush=True)
    return output


def _settings(work: Path, name: str, records: Path, **values: Any) -> Settings:
    """Nothing but instructions and the request fits into a prompt, and nothing is known beforehand."""
    given: dict[str, Any] = {
        "database_url": f"sqlite:///{work}/{name}.db",
        "training_data_dir": str(records),
        "enable_training_data_collection": True,
        "adapters_dir": str(work / "adapters"),
        "playbook": "none",
        "prompt_token_budget": 640,
        "train_in_service": False,
        "api_keys": (),
    }
    return Settings(_env_file=None, **(given | values))


def _serving(work: Path, url: str, model: Path) -> Settings:
    """With a database of its own, and a copy of the records: what users do now is not examined on."""
    _clear(work, "serving*")
    records = shutil.copytree(work / "training", work / "serving")
    return _settings(
        work,
        "serving",
        records,
        slm_impl="vllm",
        vllm_base_url=f"{url}/v1",
        vllm_model_name=model.name,
        hypotheses_from="model",
        hypotheses_temperature=0.0,
        vllm_timeout=300.0,
        request_timeout=300.0,
    )


def _evaluator(work: Path, model: Path, python: Path) -> RecipeEvaluator:
    def lay(recipe: Recipe, config: Mapping[str, Any], script: Path) -> Path:
        return render(recipe, {**config, "max_tokens": _TOKENS}, script)

    interpreter = Interpreter(python.absolute(), training_environment())
    return RecipeEvaluator(interpreter, work / "evaluations", str(model), most_rows=_ROWS, lay=lay)


@asynccontextmanager
async def _examining(door: Door, evaluator: Evaluator, url: str, model: Path) -> AsyncIterator[Candidates]:
    """The service's own conductor, with fewer prompts than in service: there are two cores here."""
    host, probe = VLLMReplica(url), VLLMProbe(url, timeout=300.0)
    rooms = door.services
    examiner = Examiner(host, probe, evaluator, model.name, _PROMPTS)
    try:
        yield Candidates(rooms.store, rooms.promotion, rooms.training, examiner)
    finally:
        await probe.aclose()
        await host.aclose()


async def _examined(
    door: Door, candidates: Candidates, evaluator: Remembering, outputs: Mapping[str, Path]
) -> tuple[Adapter, Adapter]:
    """The good one against the base, and live; then the bad one against it."""
    promotion = door.services.promotion
    judged = {}
    for name, output in outputs.items():
        registered = await promotion.register(_TENANT, output, "hypotheses", {"bench": name})
        judged[name] = await candidates.examine(_TENANT, registered.name)
        told_of(name, judged[name])
        if name == "good":
            await promotion.promote(_TENANT, registered.name, forced=judged[name].state != "gated")
            await door.services.reconciler.until_ready(registered.name, _READY_SECONDS)
    good, bad = judged["good"], judged["bad"]
    print("\n| | rows | NLL, nats a token | gain | pairs | picked over rejected | gain |")
    print(f"|{' --- |' * 7}")
    print(compared("good against the base", evaluator.compare(good.name, None)))
    print(compared("bad against the base", evaluator.compare(bad.name, None)))
    print(compared("bad against the good one, live", evaluator.compare(bad.name, good.name)), flush=True)
    return good, bad


async def _trial(door: Door, bad: Adapter, wanted: Sequence[Wish], most: int, at_once: int) -> Look:
    """Refused, then forced by an admin; users come in waves until it is decided, or no more are there."""
    promotion, reconciler = door.services.promotion, door.services.reconciler
    try:
        await promotion.start_canary(_TENANT, bad.name, _SHARE)
    except Conflict as error:
        print(f"\nrefused: {error.detail}")
    started = await door.post(f"/v1/adapters/{bad.name}/canary", share=_SHARE, forced=True)
    await reconciler.until_ready(bad.name, _READY_SECONDS)
    canaries = Canaries(door.services.store, reconciler.ready, _RULES)
    users = zip((f"user-{number}" for number in range(most)), itertools.cycle(wanted))
    look = await canaries.look(_TENANT, started["id"])
    while look.experiment.verdict == "running" and (wave := list(itertools.islice(users, at_once))):
        await sit_down_together(door, wave)
        await canaries.tick()
        look = await canaries.look(_TENANT, started["id"])
    return look


def _clear(work: Path, *patterns: str) -> None:
    """The directory, without what an earlier run left under these names."""
    work.mkdir(parents=True, exist_ok=True)
    for stale in itertools.chain.from_iterable(map(work.glob, patterns)):
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


if __name__ == "__main__":
    main()
