"""Settings: the only reader of the environment and of .env. Read by main, cli and wiring alone."""

from __future__ import annotations

import hashlib
import os
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import ConfigError

Words = Annotated[tuple[str, ...], NoDecode]
"""A comma-separated list."""
Probability = Annotated[float, Field(ge=0, le=1)]
TopP = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(BaseSettings):
    """Every setting with its default. The environment overrides .env; both override the default."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on; vLLM's own default is 8000")
    database_url: str = Field("sqlite:///data/embed.db", description="SQLAlchemy URL; migrated at the start")
    playbook: str = Field(
        "shipped",
        description="shipped, none, or the path of a file of JSON lines or a folder of them",
    )

    slm_impl: Literal["local", "http", "vllm"] = Field("local", description="Which backend answers")
    vllm_base_url: str = Field(
        "http://localhost:8000/v1", description="vLLM's OpenAI-compatible address, /v1 included"
    )
    vllm_model_name: str = Field("unsloth/Qwen2.5-3B-Instruct", description="The base model vLLM serves")
    vllm_timeout: Seconds = Field(30.0, description="Seconds for one request, queueing and retries included")
    vllm_api_key: SecretStr | None = Field(None, description="Sent to vLLM as a bearer token")
    vllm_lora_name: str | None = Field(None, description="Adapter used where a request names none")
    vllm_replica_urls: Words = Field(
        (), description="Root addresses of the replicas, comma-separated; unset: derived from VLLM_BASE_URL"
    )
    lora_allowed: Words = Field(
        (), description="Adapters that callers may name, comma-separated; * allows all that vLLM lists"
    )
    slm_http_base_url: str = Field(
        "http://localhost:11434/v1", description="Any OpenAI-compatible server, for SLM_IMPL=http"
    )
    slm_http_model: str = Field("qwen2.5:3b-instruct", description="Its model")
    slm_http_api_key: SecretStr | None = Field(None, description="Its key")

    hypotheses_temperature: float = Field(0.2, ge=0, le=2, description="Sampling of hypotheses")
    hypotheses_top_p: TopP = Field(0.9, description="Sampling of hypotheses")
    hypotheses_max_tokens: int = Field(640, ge=16, le=8192, description="Longest answer with hypotheses")
    text_temperature: float = Field(0.2, ge=0, le=2, description="Sampling of enrichment, follow-ups, facets")
    text_top_p: TopP = Field(0.9, description="Sampling of enrichment, follow-ups, facets")
    text_max_tokens: int = Field(256, ge=16, le=8192, description="Longest answer of these")
    summary_temperature: float = Field(0.0, ge=0, le=2, description="Sampling of summaries")
    summary_top_p: TopP = Field(1.0, description="Sampling of summaries")
    prompt_token_budget: int = Field(2816, ge=640, le=131072, description="No prompt is longer, in tokens")
    context_token_budget: int = Field(
        512, ge=64, le=65536, description="Caller's context, memories and facets in a prompt, in tokens"
    )
    enrich_context: bool = Field(
        False, description="Ask the backend what the request implies first; costs one call"
    )
    hypotheses_from: Literal["merged", "model"] = Field(
        "merged", description="merged: a model's and the playbook's; model: where one answers, its own alone"
    )

    embedding_impl: Literal["static", "http"] = Field("static", description="static needs no server")
    embedding_http_url: str = Field(
        "http://localhost:8001/v1", description="OpenAI-compatible /v1/embeddings, for EMBEDDING_IMPL=http"
    )
    embedding_http_model: str = Field("BAAI/bge-small-en-v1.5", description="Its model")
    embedding_http_api_key: SecretStr | None = Field(None, description="Its key")
    rerank_top_k: int = Field(20, ge=0, le=200, description="Memories that a model re-ranks; 0 turns it off")
    rerank_boost: float = Field(0.3, ge=0, le=10, description="Score = fused + RERANK_BOOST x relevance")
    rerank_timeout: Seconds = Field(0.8, description="Seconds after which the fused order is answered")

    auto_advance_alpha: float = Field(
        0.05,
        gt=0,
        le=0.5,
        description="Of the answers assumed instead of asked for, so many are wrong at most",
    )
    auto_advance_delta: float = Field(
        0.1, gt=0, le=0.5, description="The chance that this bound does not hold"
    )
    undo_seconds: Seconds = Field(600.0, description="For so long an assumption can be taken back")

    enable_training_data_collection: bool = Field(False, description="Append the four JSONL files")
    training_data_dir: str = Field("./data/training", description="Where they stand")
    min_confidence_for_training: Probability = Field(
        0.7, description="A label less sure than this is kept, but marked not for training"
    )

    training_python: str = Field(
        "./venv-train/bin/python", description="Runs training scripts; scripts/setup_train.sh makes it"
    )
    training_models: Words = Field(
        (), description="Base models that callers may train, comma-separated; unset: VLLM_MODEL_NAME"
    )
    after_training: Literal["register", "gate", "canary"] = Field(
        "canary", description="How far a trained adapter goes by itself; gate and canary need SLM_IMPL=vllm"
    )
    canary_share: float = Field(0.2, ge=0.05, le=0.5, description="Of the users get a candidate on trial")
    experiment_alpha: float = Field(
        0.05, gt=0, le=0.5, description="The chance that a trial promotes what is no better"
    )
    vllm_max_lora_rank: int = Field(
        16, ge=1, le=512, description="As vLLM was started; adapters of a higher rank are refused"
    )
    adapters_dir: str = Field("./local-models/adapters", description="Where trained adapters stand")
    train_in_service: bool = Field(True, description="The service itself runs queued training jobs")
    train_recipe: Literal["sft", "dpo", "kto"] = Field("sft", description="How the worker trains")
    train_after_records: int = Field(
        500, ge=0, description="The worker trains after so many new labelled records; 0: never for that"
    )
    train_cron: str = Field("", description="The worker trains at these times too, UTC, as in 0 3 * * *")
    train_cooldown_hours: float = Field(12.0, ge=0, le=8760, description="Between two starts of the worker's")
    train_quiet_hours: str = Field("", description="The worker begins nothing then, UTC, as in 08:00-18:00")

    api_keys: Words = Field(
        (),
        description="tenant:scopes:sha256hex, comma-separated; scopes use+train+admin; unset: no keys",
    )
    max_body_bytes: int = Field(8_388_608, ge=1024, description="Largest request body")
    max_in_flight: int = Field(64, ge=1, le=10_000, description="Requests to the backend at a time")
    max_queued: int = Field(256, ge=0, le=100_000, description="Requests that may wait for the backend")
    request_timeout: Seconds = Field(60.0, description="Seconds for one request as a whole")

    @field_validator("vllm_replica_urls", "lora_allowed", "api_keys", "training_models", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator(
        "vllm_lora_name", "vllm_api_key", "slm_http_api_key", "embedding_http_api_key", mode="before"
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("vllm_base_url", "slm_http_base_url", "embedding_http_url", "vllm_replica_urls")
    @classmethod
    def _is_url(cls, value: Any) -> Any:
        for url in value if isinstance(value, tuple) else (value,):
            if not url.startswith(("http://", "https://")):
                raise ValueError("write it as http://host:port/v1")
        return value

    @field_validator("vllm_base_url")
    @classmethod
    def _ends_in_v1(cls, value: str) -> str:
        if not value.rstrip("/").endswith("/v1"):
            raise ValueError("end it in /v1, as in http://localhost:8000/v1")
        return value

    @field_validator("database_url")
    @classmethod
    def _is_async_database(cls, value: str) -> str:
        if not value.startswith(("sqlite", "postgresql")):
            raise ValueError("begin it with sqlite:/// or postgresql://")
        return value

    @field_validator("api_keys")
    @classmethod
    def _are_key_entries(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            tenant, scopes, digest = [*entry.split(":"), "", ""][:3]
            known = set(scopes.split("+")) <= {"use", "train", "admin"}
            if not tenant or not known or len(digest) != hashlib.sha256().digest_size * 2:
                raise ValueError("write each entry as tenant:use+train+admin:sha256hex")
        return value


_PASSED_ON = {
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HOME",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "OMP_NUM_THREADS",
    "PATH",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TRANSFORMERS_OFFLINE",
    "TZ",
    "USER",
    "XDG_CACHE_HOME",
}


def training_environment() -> dict[str, str]:
    """What a training process is told of this one's environment: a list of names, none of them a secret."""
    return {name: value for name, value in os.environ.items() if name in _PASSED_ON}


_SECRETS = ("key", "token", "password", "database_url")


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment and .env; ConfigError in one line for the first wrong value."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        shown = "(hidden)" if any(part in name for part in _SECRETS) else repr(first.get("input"))
        mend = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{name.upper()}={shown}: {mend}; see env.example.txt") from None
