"""What is known of a user: read it, correct it."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.api.deps import ServicesDep, TenantDep, UserPath
from app.api.json import JSON, StrictRoute
from app.api.problems import responses
from app.api.schemas import FacetOut, PersonaPatch
from app.services.persona import facet_body

router = APIRouter(prefix="/v1/personas", tags=["personas"], route_class=StrictRoute)


class PersonaOut(BaseModel):
    user_id: str
    facets: list[FacetOut]
    history: list[FacetOut]


@router.get("/{user_id}", response_model=PersonaOut, responses=responses(401, 403, 422, 503))
async def read(user_id: UserPath, services: ServicesDep, tenant: TenantDep) -> Response:
    """The facets that hold now, those that did, and the records each rests on."""
    await services.learner.settle(tenant, user_id)
    held = [facet_body(facet) for facet in await services.persona.history(tenant, user_id)]
    return JSON(
        {
            "user_id": user_id,
            "facets": [facet for facet in held if facet["valid_to"] is None],
            "history": [facet for facet in held if facet["valid_to"] is not None],
        }
    )


@router.patch("/{user_id}", response_model=PersonaOut, responses=responses(400, 401, 403, 413, 422, 503))
async def correct(
    user_id: UserPath, body: PersonaPatch, services: ServicesDep, tenant: TenantDep
) -> Response:
    """Set what the user states of themselves, or end a facet with null; their word is final."""
    await services.learner.state(tenant, user_id, [(facet.name, facet.value) for facet in body.facets])
    return await read(user_id, services, tenant)
