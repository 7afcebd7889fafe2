"""The examination of a candidate: the trainer's word and the server's, laid before the gates."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.clients.slm.base import AdapterHost, AdapterProbe
from app.models import Adapter
from app.services.gates import (
    Answered,
    GateReport,
    Scored,
    Spoken,
    better_offline,
    no_red_flags,
    quick_and_valid,
    serves_as_trained,
)

_MOST_TOKENS = 640
"""The longest answer with hypotheses, as in service."""
_AT_ONCE = 8
"""So many prompts make a batch."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """How the trainer's model goes on after a prompt, taking the likeliest token each time."""

    messages: tuple[Mapping[str, str], ...]
    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """One for each of `token_ids`, in nats."""
    text: str
    count: int | None = None
    """Hypotheses in the answer that was right; None for another task."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The model's part, done by the trainer's code and not by the server's."""

    rows: tuple[Scored, ...]
    continuations: tuple[Continuation, ...] = ()


class Evaluator(Protocol):
    async def evaluate(self, adapter: Adapter | None, datasets: Sequence[Path], prompts: int) -> Evaluation:
        """Score the rows of `datasets` and go on after the first `prompts`; None: the base model alone.

        Raises TrainingFailed with the reason in one line.
        """
        ...


class Examiner:
    """Examines on one replica; the candidate is loaded there by its own name, and stays."""

    def __init__(
        self, host: AdapterHost, probe: AdapterProbe, evaluator: Evaluator, base_model: str, prompts: int = 16
    ) -> None:
        """`base_model` as the server calls it; `prompts`: so many are answered for parity and speed."""
        self._host, self._probe, self._evaluator = host, probe, evaluator
        self._base_model, self._prompts = base_model, prompts

    async def examine(self, candidate: Adapter, live: Adapter | None, held_out: Sequence[Path]) -> GateReport:
        """The report of all four gates. Raises BackendError, TrainingFailed.

        Trainer and server take turns: on a machine of few cores they would slow each other down.
        """
        judged = await self._evaluator.evaluate(candidate, held_out, self._prompts)
        rival = await self._evaluator.evaluate(live, held_out, 0)
        for adapter in (candidate, live):
            if adapter is not None:
                await self._host.load(adapter)
        spoken = await self._spoken(candidate.name, judged.continuations)
        answers, live_answers = await self._answers(
            candidate.name, live.name if live else self._base_model, judged.continuations
        )
        return GateReport(
            (
                better_offline(judged.rows, rival.rows),
                serves_as_trained(spoken),
                quick_and_valid(answers, live_answers),
                no_red_flags(answers),
            )
        )

    async def _spoken(self, name: str, continuations: Sequence[Continuation]) -> list[Spoken]:
        alone = [await self._logprobs(name, one) for one in continuations]
        crowd = asyncio.Semaphore(_AT_ONCE)

        async def crowded(one: Continuation) -> tuple[float, ...]:
            async with crowd:
                return await self._logprobs(name, one)

        in_batch = await asyncio.gather(*map(crowded, continuations))
        return [
            Spoken(
                prompt_ids=one.prompt_ids,
                served_prompt_ids=await self._probe.prompt_ids(name, one.messages),
                logprobs=one.logprobs,
                alone=by_itself,
                in_batch=among_others,
                text=one.text,
                served_text=(await self._probe.answer(name, one.messages, max(1, len(one.token_ids)))).text,
            )
            for one, by_itself, among_others in zip(continuations, alone, in_batch, strict=True)
        ]

    async def _logprobs(self, name: str, one: Continuation) -> tuple[float, ...]:
        return await self._probe.logprobs(name, one.prompt_ids, one.token_ids)

    async def _answers(
        self, candidate: str, live: str, continuations: Sequence[Continuation]
    ) -> tuple[list[Answered], list[Answered]]:
        """Both on the same prompts, in turn, so that what slows the machine slows both."""
        found: tuple[list[Answered], list[Answered]] = ([], [])
        for one in continuations:
            for name, answers in zip((candidate, live), found, strict=True):
                said = await self._probe.answer(name, one.messages, _MOST_TOKENS, one.count)
                answers.append(Answered(said.text, said.seconds, said.valid))
        return found
