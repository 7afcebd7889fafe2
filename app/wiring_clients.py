"""The clients put together: the embedder, the backend, the replicas behind it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

from app.clients.embedding.base import Embedder
from app.clients.embedding.http import HTTPEmbedder
from app.clients.embedding.resting import RestingEmbedder
from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import (
    EnrichContext,
    FollowupQuestions,
    GenerateHypotheses,
    SLMClient,
    Summarize,
    UpdateFacets,
)
from app.clients.slm.registry import load_backend
from app.clients.slm.replicas import VLLMReplica
from app.clients.slm.sampling import DEFAULT_SAMPLING, Sampling, SamplingTable
from app.config import Settings
from app.errors import ConfigError


def make_embedder(settings: Settings) -> Embedder:
    if settings.embedding_impl == "static":
        return StaticEmbedder()
    key = settings.embedding_http_api_key
    server = HTTPEmbedder(
        settings.embedding_http_url,
        settings.embedding_http_model,
        key.get_secret_value() if key else None,
    )
    return RestingEmbedder(server)


def make_backend(settings: Settings) -> SLMClient | None:
    """The configured backend; None where `local` answers alone."""
    if settings.slm_impl == "local":
        return None
    make = load_backend(settings.slm_impl)
    common = {"sampling": _sampling(settings), "prompt_tokens": settings.prompt_token_budget}
    if settings.slm_impl == "http":
        key = settings.slm_http_api_key
        return make(
            settings.slm_http_base_url,
            settings.slm_http_model,
            key.get_secret_value() if key else None,
            settings.vllm_timeout,
            **common,
        )
    _refuse_adapter_directory(settings.vllm_model_name)
    key = settings.vllm_api_key
    return make(
        settings.vllm_base_url,
        settings.vllm_model_name,
        key.get_secret_value() if key else None,
        settings.vllm_timeout,
        settings.vllm_lora_name,
        replica_urls=settings.vllm_replica_urls,
        **common,
    )


def make_replicas(settings: Settings, stack: AsyncExitStack) -> list[VLLMReplica]:
    """The vLLM servers themselves, asked past any router; closed with the stack."""
    if settings.slm_impl != "vllm":
        return []
    key = settings.vllm_api_key
    urls = settings.vllm_replica_urls or (settings.vllm_base_url,)
    replicas = [VLLMReplica(url, key.get_secret_value() if key else None) for url in urls]
    for replica in replicas:
        stack.push_async_callback(replica.aclose)
    return replicas


def _refuse_adapter_directory(model: str) -> None:
    if (Path(model) / "adapter_config.json").exists():
        raise ConfigError(
            f"VLLM_MODEL_NAME={model!r} is a LoRA adapter; name its base model there and start vLLM with"
            " --lora name=path, then set VLLM_LORA_NAME to that name"
        )


def _sampling(settings: Settings) -> SamplingTable:
    text = Sampling(settings.text_temperature, settings.text_top_p, settings.text_max_tokens)
    return {
        **DEFAULT_SAMPLING,
        GenerateHypotheses: Sampling(
            settings.hypotheses_temperature, settings.hypotheses_top_p, settings.hypotheses_max_tokens
        ),
        EnrichContext: text,
        FollowupQuestions: text,
        UpdateFacets: text,
        Summarize: Sampling(settings.summary_temperature, settings.summary_top_p, settings.text_max_tokens),
    }
