"""One vLLM replica, asked directly to load and unload adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from app.clients.slm.base import Health
from app.clients.slm.failures import translated
from app.clients.slm.http import PING_SECONDS
from app.errors import BackendAnswerInvalid, BackendError, BackendRejected
from app.models import Adapter


class VLLMReplica:
    """An AdapterHost. The server needs VLLM_ALLOW_RUNTIME_LORA_UPDATING=1.

    Adapters that were loaded at run time are lost when the server restarts.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        timeout: float = 120.0,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`url` with or without /v1; `timeout` in seconds, long enough to read an adapter from disk."""
        self.url = url.rstrip("/").removesuffix("/v1")
        self._timeout = timeout
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.AsyncClient(
            transport=transport,
            headers=headers,
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            limits=httpx.Limits(max_connections=4),
        )

    async def load(self, adapter: Adapter) -> None:
        """Load it, or see that it is loaded from the same path already; raises BackendError."""
        # Never with load_inplace: vLLM would read the adapter anew at every step from then on.
        body = {"lora_name": adapter.name, "lora_path": adapter.path}
        try:
            await self._request("POST", "/v1/load_lora_adapter", body)
        except BackendRejected:
            if (await self._cards()).get(adapter.name) != adapter.path:
                raise

    async def unload(self, name: str) -> None:
        """Take the name away; that it is gone already is no error."""
        try:
            await self._request("POST", "/v1/unload_lora_adapter", {"lora_name": name})
        except BackendRejected:
            if name in await self._cards():
                raise

    async def loaded(self) -> list[str]:
        """The names of the adapters, sorted."""
        return sorted(await self._cards())

    async def canary(self, name: str) -> None:
        """One token through the adapter; raises BackendError, UnknownAdapter where it does not answer."""
        body = {"model": name, "max_tokens": 1, "messages": [{"role": "user", "content": "Hello"}]}
        response = await self._request("POST", "/v1/chat/completions", body, adapter=name)
        if response.json().get("model") != name:
            raise BackendAnswerInvalid(f"{self.url} did not answer by the adapter {name!r}.")

    async def ping(self) -> Health:
        """Whether it answers within a few seconds, its version and its adapters."""
        try:
            async with asyncio.timeout(PING_SECONDS):
                cards = await self._cards()
                version = await self._request("GET", "/version")
            return Health(True, "", version=_version(version), adapters=tuple(sorted(cards)))
        except TimeoutError:
            return Health(False, f"{self.url} did not answer in {PING_SECONDS:.0f} s.")
        except BackendError as error:
            return Health(False, error.detail)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _cards(self) -> dict[str, str]:
        """Path by name: a model card with a parent is an adapter's."""
        response = await self._request("GET", "/v1/models")
        body = response.json()
        if not isinstance(body, dict) or not isinstance(body.get("data"), list):
            raise BackendAnswerInvalid(f"{self.url}/v1/models is not a list of models.")
        return {str(card["id"]): str(card.get("root")) for card in body["data"] if card.get("parent")}

    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, adapter: str | None = None
    ) -> httpx.Response:
        with translated(self.url, adapter):
            async with asyncio.timeout(self._timeout):
                response = await self._http.request(method, f"{self.url}{path}", json=body)
            response.raise_for_status()
        return response


def _version(response: httpx.Response) -> str:
    try:
        return str(response.json()["version"])
    except (KeyError, TypeError, ValueError) as error:
        raise BackendAnswerInvalid("/version is not vLLM's.") from error
