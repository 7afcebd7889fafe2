"""Which adapter answers a call: the caller's own, if it may be named at all."""

from __future__ import annotations

from app.errors import UnknownAdapter

ANY = "*"


class AdapterRegistry:
    """Knows the adapters that callers may name with `lora_name`."""

    def __init__(self, allowed: frozenset[str] = frozenset(), *, backend_has_adapters: bool = False) -> None:
        self._allowed, self._backend_has_adapters = allowed, backend_has_adapters

    def resolve(self, lora_name: str | None) -> str | None:
        """The adapter for this call, None for the backend's own; UnknownAdapter where it cannot be had."""
        if lora_name is None:
            return None
        if not self._backend_has_adapters:
            raise UnknownAdapter(f"lora_name {lora_name!r}: this backend has no adapters; set SLM_IMPL=vllm")
        if ANY not in self._allowed and lora_name not in self._allowed:
            raise UnknownAdapter(f"lora_name {lora_name!r} is not allowed; name it in LORA_ALLOWED")
        return lora_name
