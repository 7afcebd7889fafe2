"""POST /v1/hypothesize."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.deps import CallDep, ServicesDep
from app.api.json import JSON, StrictRoute
from app.api.problems import responses
from app.api.schemas import HypothesizeBody, HypothesizeOut
from app.models import Turn
from app.services.hypothesizer import Ask

router = APIRouter(prefix="/v1", tags=["hypotheses"], route_class=StrictRoute)


@router.post(
    "/hypothesize", response_model=HypothesizeOut, responses=responses(400, 401, 403, 404, 413, 422, 503)
)
async def hypothesize(body: HypothesizeBody, services: ServicesDep, call: CallDep) -> Response:
    """The questions that matter most for this request and this user, the most important first."""
    ask = Ask(
        user_id=body.user_id,
        input_text=body.input_text,
        context=body.context,
        conversation=tuple(Turn(turn.role, turn.content) for turn in body.conversation),
        session_id=body.session_id,
        count=body.count,
        lora_name=body.lora_name,
    )
    return JSON(await services.hypothesizer.hypothesize(ask, call))
