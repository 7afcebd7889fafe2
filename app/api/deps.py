"""What endpoints are handed: the services, the tenant behind the key, ids that are fit for a path.

Each is a coroutine although none waits: FastAPI sends plain functions through a thread, 0.2 ms each time.
"""

from __future__ import annotations

import hashlib
import hmac
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Path, Query, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.clients.slm.base import Call
from app.errors import Forbidden, InvalidInput, Unauthorized
from app.services.bundle import Access, Services

ID_PATTERN = r"^[^\s/\\\x00-\x1f]{1,128}$"
_bearer = HTTPBearer(auto_error=False, description="A key from API_KEYS; none is needed where none are set")


async def services(request: Request) -> Services:
    """The bundle that the lifespan opened."""
    opened: Services = request.app.state.services
    return opened


ServicesDep = Annotated[Services, Depends(services)]
BearerDep = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def tenant_for(scope: str) -> Callable[..., Awaitable[str]]:
    """A dependency: the tenant of the request's key, which must have `scope`."""

    async def tenant(opened: ServicesDep, bearer: BearerDep) -> str:
        return tenant_of(opened, bearer, scope)

    return tenant


def tenant_of(opened: Services, bearer: HTTPAuthorizationCredentials | None, scope: str) -> str:
    """The tenant of the key, where the scope that is needed depends on the body."""
    return authorise(opened.access, bearer.credentials if bearer else "", scope)


def authorise(access: tuple[Access, ...], key: str, scope: str) -> str:
    """The tenant of `key`; `default` where no keys are set. Compares every entry in constant time."""
    if not access:
        return "default"
    digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
    found = [entry for entry in access if hmac.compare_digest(entry.digest, digest)]
    if not found:
        raise Unauthorized
    if not any(scope in entry.scopes for entry in found):
        raise Forbidden(f"This key has not the scope {scope!r}.")
    return found[0].tenant


async def user_in_path(user_id: Annotated[str, Path(pattern=ID_PATTERN, examples=["ada"])]) -> str:
    return _not_dots(user_id)


async def user_in_query(user_id: Annotated[str, Query(pattern=ID_PATTERN, examples=["ada"])]) -> str:
    return _not_dots(user_id)


async def new_call(opened: ServicesDep, tenant: Annotated[str, Depends(tenant_for("use"))]) -> Call:
    """The Call of this request: its own id, its deadline counted from now."""
    return Call(
        tenant=tenant, request_id=uuid.uuid4().hex, deadline=time.monotonic() + opened.request_timeout
    )


def _not_dots(user_id: str) -> str:
    if user_id in (".", ".."):
        raise InvalidInput("user_id must not be . or ..")
    return user_id


TenantDep = Annotated[str, Depends(tenant_for("use"))]
TrainerDep = Annotated[str, Depends(tenant_for("train"))]
AdminDep = Annotated[str, Depends(tenant_for("admin"))]
CallDep = Annotated[Call, Depends(new_call)]
UserPath = Annotated[str, Depends(user_in_path)]
UserQuery = Annotated[str, Depends(user_in_query)]
RecordId = Annotated[str, Path(pattern=ID_PATTERN, examples=["30e6716778844f9d9e0babee19543801"])]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[str | None, Query(max_length=512)]
