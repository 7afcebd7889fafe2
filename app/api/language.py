"""Enrichment, follow-up questions and summaries, for callers who want just these."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.deps import CallDep, ServicesDep
from app.api.json import JSON, StrictRoute
from app.api.problems import responses
from app.api.schemas import EnrichBody, FollowupsBody, SummarizeBody
from app.clients.slm.base import Completion, EnrichContext, FollowupQuestions, Summarize

router = APIRouter(prefix="/v1", tags=["language"], route_class=StrictRoute)
_PROBLEMS = responses(400, 401, 403, 413, 422, 503)


class Produced(BaseModel):
    """Who answered, and whether another was meant to."""

    producer: str
    degraded: bool
    reason: str | None


class EnrichOut(Produced):
    implicit_goals: list[str]
    expertise_level: str
    next_steps: list[str]


class FollowupsOut(Produced):
    questions: list[str]


class SummarizeOut(Produced):
    summary: str


@router.post("/enrich", response_model=EnrichOut, responses=_PROBLEMS)
async def enrich(body: EnrichBody, services: ServicesDep, call: CallDep) -> Response:
    """What the request seems to imply beyond its words."""
    done = await services.slm.run(EnrichContext(body.input_text, body.context), call)
    return JSON(
        {
            "implicit_goals": list(done.value.implicit_goals),
            "expertise_level": done.value.expertise_level,
            "next_steps": list(done.value.next_steps),
        }
        | _produced(done)
    )


@router.post("/followups", response_model=FollowupsOut, responses=_PROBLEMS)
async def follow_up(body: FollowupsBody, services: ServicesDep, call: CallDep) -> Response:
    """Questions worth asking next, given this context and what is known of the user."""
    profile = await services.persona.profile(call.tenant, body.user_id)
    examples = await services.playbook.resembling(" ".join(map(str, body.context.values()))[:2000], 10)
    done = await services.slm.run(FollowupQuestions(body.context, profile.facets, examples, body.count), call)
    return JSON({"questions": done.value} | _produced(done))


@router.post("/summarize", response_model=SummarizeOut, responses=_PROBLEMS)
async def summarize(body: SummarizeBody, services: ServicesDep, call: CallDep) -> Response:
    """The text in at most max_tokens tokens."""
    done = await services.slm.run(Summarize(body.text, body.max_tokens), call)
    return JSON({"summary": done.value} | _produced(done))


def _produced(done: Completion[object]) -> dict[str, object]:
    return {"producer": done.producer, "degraded": done.degraded, "reason": done.reason}
