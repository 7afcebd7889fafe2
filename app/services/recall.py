"""Search and ranking for a user, kept as interactions so that late feedback finds them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from app.clients.slm.base import Call
from app.models import Interaction, InteractionKind
from app.services.background import Background
from app.services.persona import PersonaService
from app.services.ranking import RankingService
from app.services.training import TrainingDataCollector
from app.storage.base import Interactions


class Recall:
    """The conductor of POST /v1/memories/search and POST /v1/rank."""

    def __init__(
        self,
        store: Interactions,
        ranking: RankingService,
        persona: PersonaService,
        collector: TrainingDataCollector,
        background: Background,
    ) -> None:
        self._store, self._ranking, self._persona = store, ranking, persona
        self._collector, self._background = collector, background

    async def search(
        self, user_id: str, query: str, top_k: int, rerank: bool | None, call: Call
    ) -> dict[str, Any]:
        """The user's memories for the query, best first, as the body of the contract."""
        found = await self._ranking.rank_memories(
            user_id, query, tenant=call.tenant, top_k=top_k, rerank=rerank, call=call
        )
        results = [
            {
                "id": ranked.memory.id,
                "external_id": ranked.memory.external_id,
                "text": ranked.memory.text,
                "score": ranked.score,
                "scores": dict(ranked.scores),
            }
            for ranked in found.results
        ]
        answer = {
            "request_id": call.request_id,
            "results": results,
            "producer": found.producer,
            "reason": found.reason,
        }
        await self._keep("search", user_id, query, answer, results, call, found.origin)
        return answer

    async def rank(self, user_id: str, query: str, candidates: Sequence[str], call: Call) -> dict[str, Any]:
        """The candidates in this user's order, as the body of the contract."""
        await self._background.settle((call.tenant, user_id))
        ranked, producer = await self._persona.rank(call.tenant, user_id, query, candidates)
        ranking = [{"index": text.index, "text": text.text, "score": text.score} for text in ranked]
        answer = {"request_id": call.request_id, "ranking": ranking, "producer": producer}
        shown = [{"id": str(item["index"]), "text": item["text"], "score": item["score"]} for item in ranking]
        await self._keep("rank", user_id, query, answer, shown, call)
        return answer

    async def _keep(
        self,
        kind: InteractionKind,
        user_id: str,
        query: str,
        answer: Mapping[str, Any],
        candidates: Sequence[Mapping[str, Any]],
        call: Call,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        shown = [{key: item.get(key) for key in ("id", "text", "score", "scores")} for item in candidates]
        interaction = Interaction(
            id=call.request_id,
            tenant=call.tenant,
            user_id=user_id,
            kind=kind,
            session_id=call.session_id or call.request_id,
            round=1,
            created_at=datetime.now(UTC),
            input_text=query,
            answer=answer,
            record={"candidates": shown, "backend": answer["producer"], **(origin or {})},
        )
        await self._store.add_interaction(interaction)
        self._collector.record_ranking(interaction)
