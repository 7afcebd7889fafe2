"""vLLM: the chat protocol, LoRA adapters by name, and decisions without generating."""

from __future__ import annotations

import base64
import contextlib
import copy
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import httpx

from app.clients.slm import decisions
from app.clients.slm.base import Call, Completion, GenerateHypotheses, Health, R, Task, UpdateFacets
from app.clients.slm.decisions import Decision
from app.clients.slm.http import PING_SECONDS, HTTPClient
from app.clients.slm.judging import Judgement
from app.clients.slm.prefill import Asker, Prefill
from app.clients.slm.prompts import PROMPT_TOKENS, render
from app.clients.slm.sampling import Sampling, SamplingTable
from app.errors import BackendError, NotSupported
from app.models import FacetChange

_SUPPORTED = 0.5


class VLLMClient(HTTPClient):
    """Chooses an adapter by `model=<its name>`: vLLM knows no other way and ignores a body's `lora_name`."""

    name = "vllm"

    def __init__(
        self,
        base_url: str,
        model: str,
        api_key: str | None = None,
        timeout: float = 30.0,
        lora_name: str | None = None,
        *,
        replica_urls: Sequence[str] = (),
        transport: httpx.AsyncBaseTransport | None = None,
        sampling: SamplingTable | None = None,
        prompt_tokens: int = PROMPT_TOKENS,
    ) -> None:
        """`lora_name` answers calls that name no adapter.

        `replica_urls`, with or without /v1, are the servers behind a router; they default to `base_url`.
        """
        super().__init__(
            base_url,
            model,
            api_key,
            timeout,
            transport=transport,
            sampling=sampling,
            prompt_tokens=prompt_tokens,
        )
        self.lora_name = lora_name
        self._salt_key = (api_key or "").encode()
        self._prefill = Prefill(self._server, [_root(url) for url in replica_urls or (base_url,)])

    def with_lora(self, name: str | None) -> Self:
        """A view of this client, bound to the adapter `name` or to the base; connections are shared."""
        view = copy.copy(self)
        view.lora_name = name
        return view

    async def warmup(self) -> None:
        """One token through the bound adapter: no user waits for its loading, nor for the grammar."""
        call = Call(deadline=time.monotonic() + self._server.timeout)
        task = GenerateHypotheses("Hello")
        request = self._request(render(task), task, call)
        await self._server.complete(replace(request, sampling=Sampling(max_tokens=1)), call)

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        """As HTTPClient; what a selection says of a user is decided by prefill where the server can."""
        if isinstance(task, UpdateFacets):
            with contextlib.suppress(NotSupported):
                return await self._update(task, call)
        return await super().run(task, call)

    async def ping(self) -> Health:
        """Version, adapters and abilities too; never raises."""
        seconds = min(self._server.timeout, PING_SECONDS)
        try:
            cards = await self._server.models(seconds)
            version = await self._prefill.version(seconds)
            await self._prefill.probe(self.model, seconds)
        except BackendError as error:
            return Health(ok=False, detail=error.detail, model=self.model)
        return self._health(cards, version)

    async def _decide(self, decision: Decision, task: Task[Any], call: Call) -> Judgement:
        try:
            return await self._prefill.judge(decision, self._asker(call), call)
        except NotSupported:
            return await super()._decide(decision, task, call)

    async def _update(self, task: UpdateFacets, call: Call) -> Completion[Any]:
        """One decision for each facet that the selection may speak of; those above one half are supported."""
        names = _matters(task)
        decision = decisions.lasting(task, names)
        judged = await self._prefill.judge(decision, self._asker(call), call)
        rejected = tuple(option for option in task.options if option != task.selected)
        changes = [
            FacetChange(name, task.selected, rejected, round(probability, 4))
            for name, probability in zip(names, judged.probabilities, strict=True)
            if probability >= _SUPPORTED
        ]
        return self._completion(changes, judged, call, decision.chat(decision.items[0]))

    def _asker(self, call: Call) -> Asker:
        return Asker(self._model(call), self._adapter(call), self._body(call), self._headers(call))

    def _adapter(self, call: Call) -> str | None:
        chosen = call.adapter or self.lora_name
        return None if chosen == self.model else chosen

    def _body(self, call: Call) -> Mapping[str, Any]:
        # Tenants never share cached prefixes: how fast an answer comes would tell what others asked.
        digest = hmac.digest(self._salt_key, call.tenant.encode(), "sha256")
        return {"cache_salt": base64.urlsafe_b64encode(digest).decode().rstrip("=")}

    def _headers(self, call: Call) -> Mapping[str, str]:
        return {"X-Session-ID": call.session_id} if call.session_id else {}


def _matters(task: UpdateFacets) -> list[str]:
    """What was asked, and the facets whose values are among the options: they are about the same thing."""
    offered = {option.casefold() for option in (*task.options, task.selected)}
    known = [
        facet.name
        for facet in task.facets
        if offered & {value.casefold() for value in (facet.value, *facet.rejected)}
    ]
    return list(dict.fromkeys([task.input_text, *known]))[:8]


def _root(url: str) -> str:
    """The server's root, where the paths beyond the OpenAI protocol are."""
    return url.rstrip("/").removesuffix("/v1")
