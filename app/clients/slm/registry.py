"""Which backend a name stands for; its module is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, cast

from app.clients.slm.base import SLMClient
from app.errors import ConfigError

BACKENDS: Mapping[str, str] = {
    "local": "app.clients.slm.local:LocalClient",
    "http": "app.clients.slm.http:HTTPClient",
    "vllm": "app.clients.slm.vllm:VLLMClient",
}


def load_backend(name: str) -> Callable[..., SLMClient]:
    """The class behind `name`; raises ConfigError."""
    if name not in BACKENDS:
        known = ", ".join(BACKENDS)
        raise ConfigError(f"There is no backend {name!r}; known are {known}.")
    module, _, attribute = BACKENDS[name].partition(":")
    found: Any = getattr(import_module(module), attribute)
    return cast("Callable[..., SLMClient]", found)
