"""The examination: what is asked of whom, and that each gate hears its own part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.clients.slm.base import Health, ProbedAnswer
from app.models import Adapter
from app.services.exam import Continuation, Evaluation, Examiner
from app.services.gates import Scored

CANDIDATE = Adapter("hypotheses-b", "/adapters/b", "base", 16)
LIVE = Adapter("hypotheses-a", "/adapters/a", "base", 16)
HELD_OUT = [Path("hypotheses.eval.jsonl")]


@dataclass
class Trainer:
    """An Evaluator whose models are as good as they were made."""

    nll: Mapping[str, float]
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def evaluate(self, adapter: Adapter | None, datasets: Sequence[Path], prompts: int) -> Evaluation:
        name = adapter.name if adapter else "base"
        self.asked.append((name, prompts))
        rows = tuple(Scored(f"u{i}", self.nll[name] + i / 100, None) for i in range(40))
        said = tuple(
            Continuation(
                ({"role": "user", "content": f"build {i}"},), (1, i), (5, 6), (-0.1, -0.2), f"t{i}", 3
            )
            for i in range(prompts)
        )
        return Evaluation(rows, said)


@dataclass
class Replica:
    """An AdapterHost and an AdapterProbe that answers as the trainer does, but for `drift` and `template`."""

    url: str = "http://replica"
    drift: float = 0.0
    template: int = 1
    adapters: dict[str, str] = field(default_factory=dict)
    answered: list[str] = field(default_factory=list)

    async def load(self, adapter: Adapter) -> None:
        self.adapters[adapter.name] = adapter.path

    async def unload(self, name: str) -> None:
        self.adapters.pop(name, None)

    async def loaded(self) -> list[str]:
        return sorted(self.adapters)

    async def ping(self) -> Health:
        return Health(True)

    async def canary(self, name: str) -> None:
        assert name in self.adapters

    async def aclose(self) -> None: ...

    async def prompt_ids(self, model: str, messages: Sequence[Mapping[str, str]]) -> tuple[int, ...]:
        return (self.template, int(messages[0]["content"].split()[1]))

    async def logprobs(self, model: str, prompt: Sequence[int], after: Sequence[int]) -> tuple[float, ...]:
        return (-0.1 - self.drift, -0.2 + self.drift)

    async def answer(
        self, model: str, messages: Sequence[Mapping[str, str]], most_tokens: int, count: int | None = None
    ) -> ProbedAnswer:
        self.answered.append(model)
        return ProbedAnswer("t" + messages[0]["content"].split()[1], 0.5, valid=True)


def examiner(replica: Replica, trainer: Trainer) -> Examiner:
    return Examiner(replica, replica, trainer, "base", prompts=4)


async def test_a_better_candidate_that_serves_as_trained_passes() -> None:
    replica, trainer = Replica(), Trainer({"hypotheses-b": 1.0, "hypotheses-a": 1.5})
    report = await examiner(replica, trainer).examine(CANDIDATE, LIVE, HELD_OUT)
    assert report.passed, report.reason
    assert [gate.name for gate in report.gates] == ["offline", "parity", "serving", "red_flags"]
    assert trainer.asked == [("hypotheses-b", 4), ("hypotheses-a", 0)]
    assert set(replica.adapters) == {"hypotheses-a", "hypotheses-b"}


async def test_without_a_live_adapter_the_base_model_is_the_rival() -> None:
    replica, trainer = Replica(), Trainer({"hypotheses-b": 1.0, "base": 1.5})
    assert (await examiner(replica, trainer).examine(CANDIDATE, None, HELD_OUT)).passed
    assert "base" in replica.answered


async def test_each_fault_is_told_by_its_gate() -> None:
    worse = Trainer({"hypotheses-b": 2.0, "hypotheses-a": 1.5})
    report = await examiner(Replica(drift=0.2, template=7), worse).examine(CANDIDATE, LIVE, HELD_OUT)
    assert [gate.name for gate in report.gates if not gate.passed] == ["offline", "parity"]
    assert "chat template" in report.reason
    assert "NLL gain" in report.reason
