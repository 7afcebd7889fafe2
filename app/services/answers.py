"""The shape of an answer, and the row that keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from app.clients.slm.base import Call, Completion, GenerateHypotheses
from app.errors import UnknownAdapter
from app.models import ArmName, Enrichment, Facet, Hypothesis, Interaction, RankedMemory
from app.services.context import Fitted
from app.services.shown import Shown

VAGUE_BELOW = 0.5
_FACETS_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Draft:
    """What the backends said; None and empty where the thread was over and nobody was asked."""

    clarity: Completion[float] | None
    written: Completion[list[Hypothesis]] | None
    from_playbook: Sequence[Hypothesis]
    enriched: Completion[Enrichment] | None = None
    other_calls: int = 0
    backend: str = ""
    known_clarity: float = 1.0
    prompt: Mapping[str, Any] | None = None
    """What a model would have been asked (`version`, `messages`), where none was."""
    task: GenerateHypotheses | None = None
    """What a model was asked."""

    @classmethod
    def closed(cls, backend: str, clarity: float) -> Draft:
        """Nobody was asked; the clarity is that of the last round."""
        return cls(None, None, (), backend=backend, known_clarity=clarity)

    @property
    def completions(self) -> list[Completion[Any]]:
        return [done for done in (self.written, self.clarity, self.enriched) if done is not None]

    @property
    def by_model(self) -> Sequence[Hypothesis]:
        """What the model itself wrote; empty where another answered for it."""
        return () if self.written is None or self.written.degraded else self.written.value

    @property
    def model_ms(self) -> float:
        """What the model itself took to write, without its queue."""
        return 0.0 if self.written is None else self.written.milliseconds

    @property
    def calls(self) -> int:
        return self.other_calls + sum(done.usage.calls for done in self.completions)

    @property
    def reason(self) -> str | None:
        """Why another backend answered, from the first completion that was degraded."""
        return next((done.reason for done in self.completions if done.degraded), None)


def named_call(call: Call, session_id: str, adapter: str | None, required: bool) -> Call:
    """The call with its thread and, where the caller named one, the adapter."""
    return replace(call, session_id=session_id, adapter=adapter, adapter_required=required)


def body(
    *,
    call: Call,
    round_: int,
    draft: Draft,
    arm: ArmName | None,
    adapter_missing: bool,
    hypotheses: Sequence[Hypothesis],
    auto_advance: Mapping[str, Any] | None,
    memories: Sequence[RankedMemory],
    facets: Sequence[Facet],
    tokens: int,
    total_ms: float,
    backend_ms: float,
) -> dict[str, Any]:
    """The answer of the contract. `adapter_missing`: another than the one that was due has answered."""
    clarity = round(draft.known_clarity if draft.clarity is None else draft.clarity.value, 4)
    return {
        "request_id": call.request_id,
        "session_id": call.session_id,
        "round": round_,
        "needs_clarification": draft.written is not None and clarity < VAGUE_BELOW,
        "clarity": clarity,
        "hypotheses": [hypothesis_body(one) for one in hypotheses],
        "auto_advance": auto_advance,
        "context": {
            "memories": [
                {"id": m.memory.id, "external_id": m.memory.external_id, "text": m.memory.text}
                for m in memories
            ],
            "facets": [{"name": facet.name, "value": facet.value} for facet in facets[:_FACETS_SHOWN]],
            "enrichment": None if draft.enriched is None else asdict(draft.enriched.value),
            "tokens": tokens,
        },
        "backend": _backend(draft, arm, adapter_missing),
        "timings_ms": {
            "total": round(total_ms, 2),
            "backend": round(backend_ms, 2),
            "backend_calls": draft.calls,
        },
    }


def interaction(
    user_id: str,
    input_text: str,
    call: Call,
    answer: dict[str, Any],
    draft: Draft,
    assumed: Sequence[tuple[Hypothesis, Facet]],
    fitted: Fitted,
    shown: Shown,
) -> Interaction:
    """The row that everything learned is folded from."""
    return Interaction(
        id=call.request_id,
        tenant=call.tenant,
        user_id=user_id,
        kind="hypothesize",
        session_id=call.session_id or call.request_id,
        round=answer["round"],
        created_at=datetime.now(UTC),
        input_text=input_text,
        answer=answer,
        record={
            **origin(draft),
            "prompt": draft.prompt,
            "shown": shown.kept(),
            "candidates": [
                {"id": h["id"], "text": h["question"], "score": h["confidence"]["raw"], "scores": {}}
                for h in answer["hypotheses"]
            ],
            "context": dict(fitted.context),
            "conversation": [{"role": turn.role, "content": turn.content} for turn in fitted.conversation],
            "assumptions": [
                {"detail": hypothesis.detail, "option": facet.value, "source": "persona"}
                for hypothesis, facet in assumed
            ],
        },
    )


def origin(draft: Draft) -> dict[str, Any]:
    """Who wrote the hypotheses, from which prompt: Completion.origin, also where nobody was asked."""
    nobody: dict[str, Any] = {
        "backend": draft.backend,
        "model": "",
        "adapter": None,
        "prompt_version": "",
        "messages": [],
    }
    return nobody if draft.written is None else draft.written.origin


def hypothesis_body(one: Hypothesis) -> dict[str, Any]:
    """A hypothesis of the contract."""
    return {
        "id": one.id,
        "detail": one.detail,
        "question": one.question,
        "statement": one.statement,
        "importance": one.importance,
        "options": list(one.options),
        "confidence": {
            "raw": one.confidence.raw,
            "calibrated": one.confidence.calibrated,
            "labels": one.confidence.labels,
            "method": one.confidence.method,
        },
        "producer": one.producer,
    }


def _backend(draft: Draft, arm: ArmName | None, adapter_missing: bool) -> dict[str, Any]:
    done = draft.written
    missing = UnknownAdapter.slug if adapter_missing else None
    return {
        "name": draft.backend if done is None else done.producer,
        "model": "" if done is None else done.model,
        "adapter": None if done is None else done.adapter,
        "arm": arm,
        "degraded": adapter_missing or any(completion.degraded for completion in draft.completions),
        "reason": draft.reason or missing,
    }
