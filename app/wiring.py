"""The only room that knows concrete classes: settings in, open services out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from app.clients.embedding.cached import CachedEmbedder
from app.clients.slm.base import (
    SLMClient,
)
from app.clients.slm.local import LocalClient
from app.clients.slm.prompts import recorded
from app.clients.slm.rules.asked_for import asked_for, impersonal
from app.clients.slm.rules.language import is_english
from app.clients.slm.rules.wording import ask, topic
from app.clients.slm.wrappers.compose import BackendLimits, compose
from app.config import Settings
from app.errors import ConfigError, ServiceError, StorageError
from app.metrics import BackendMetrics
from app.services.background import Background
from app.services.bundle import Access, Services
from app.services.dependencies import Dependencies
from app.services.hypothesizer import Hypothesizer, Limits
from app.services.learned import LearnedStates
from app.services.learner import Learner
from app.services.lessons import Wording
from app.services.memories import MemoryService
from app.services.persona import PersonaService
from app.services.playbook import Playbook
from app.services.playbook_edits import PlaybookEdits
from app.services.privacy import Privacy
from app.services.ranking import RankingService
from app.services.recall import Recall
from app.services.training import ModelTrainer, TrainingDataCollector
from app.services.trials import Trials
from app.storage.migrate import migrate
from app.storage.open import open_store
from app.wiring_adapters import open_adapters, without_withdrawn
from app.wiring_clients import make_backend, make_embedder, make_replicas
from app.wiring_training import open_training

log = logging.getLogger(__name__)

SHIPPED_PLAYBOOK = Path(__file__).resolve().parent.parent / "data" / "playbook"


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything open, migrated and warming up; closed in reverse order, whatever happens."""
    async with AsyncExitStack() as stack:
        await _migrate(settings.database_url)
        store = open_store(settings.database_url)
        stack.push_async_callback(store.aclose)
        embedding = make_embedder(settings)
        embedder = CachedEmbedder(embedding)
        stack.push_async_callback(embedder.aclose)
        local = LocalClient(embedder)
        backend = make_backend(await without_withdrawn(settings, store))
        replicas = make_replicas(settings, stack)
        adapters = await open_adapters(settings, store, replicas, stack)
        slm = compose(
            backend,
            local,
            BackendMetrics(CollectorRegistry()),
            BackendLimits(at_once=settings.max_in_flight, waiting=settings.max_queued),
            embedder,
            missed=adapters.reconciler.missed,
        )
        stack.push_async_callback(slm.aclose)
        playbook = await Playbook.open(_playbook(settings.playbook), embedder)
        _in_background(stack, playbook.embed_in_the_end())
        learned = LearnedStates(
            store,
            embedder,
            Wording(asked_for, impersonal, topic, ask, is_english),
            alpha=settings.auto_advance_alpha,
            delta=settings.auto_advance_delta,
        )
        collector = await stack.enter_async_context(
            TrainingDataCollector(
                _training_directory(settings),
                settings.min_confidence_for_training,
                enabled=settings.enable_training_data_collection,
            )
        )
        examinations = await stack.enter_async_context(Background(drain_seconds=0))
        training = open_training(settings, store, collector, adapters, examinations)
        await _swept(training.trainer)
        background = await stack.enter_async_context(Background())
        trials = Trials(adapters.arms, slm, background) if adapters.arms else None
        if trials is not None:
            await stack.enter_async_context(trials)
        model = None if backend is None else slm
        persona = PersonaService(store, embedder, model)
        ranking = RankingService(
            store,
            embedder,
            model,
            rerank_top_k=settings.rerank_top_k,
            rerank_boost=settings.rerank_boost,
            rerank_timeout=settings.rerank_timeout,
        )
        hypothesizer = Hypothesizer(
            store=store,
            persona=persona,
            ranking=ranking,
            playbook=playbook,
            learned=learned,
            embedder=embedder,
            slm=slm,
            local=local,
            adapters=adapters.registry,
            trials=trials,
            collector=collector,
            background=background,
            limits=Limits(
                settings.context_token_budget,
                settings.enrich_context,
                settings.undo_seconds,
                settings.hypotheses_from == "model",
            ),
            prompt_for=partial(recorded, budget=settings.prompt_token_budget),
        )
        _warm_up(stack, backend)
        learner = Learner(store, persona, hypothesizer, collector, background, learned)
        _in_background(stack, _said(learner.catch_up, "what was said last is not learned yet"))
        yield Services(
            hypothesizer=hypothesizer,
            learner=learner,
            memories=MemoryService(store, embedder),
            recall=Recall(store, ranking, persona, collector, background),
            persona=persona,
            playbook=playbook,
            learned=learned,
            playbook_edits=PlaybookEdits(store, learned),
            privacy=Privacy(store, collector, training.trainer, ranking, background, learned),
            collector=collector,
            trainer=training.trainer,
            training=training.desk,
            runner=training.runner,
            candidates=training.candidates,
            promotion=adapters.promotion,
            canaries=adapters.canaries,
            reconciler=adapters.reconciler,
            dependencies=Dependencies(
                store, embedding, playbook, collector, slm, replicas, adapters.reconciler
            ),
            store=store,
            slm=slm,
            access=tuple(Access.parse(entry) for entry in settings.api_keys),
            request_timeout=_deadline(settings),
        )


async def _migrate(url: str) -> None:
    try:
        await migrate(url)
    except StorageError as error:
        raise ConfigError(
            f"DATABASE_URL: the database cannot be opened ({error.__cause__}); name a file in a folder that"
            " can be written, or a server that runs"
        ) from error


def _training_directory(settings: Settings) -> Path:
    """The directory, made where it is needed, so that a wrong one is told at the start."""
    directory = Path(settings.training_data_dir)
    if settings.enable_training_data_collection:
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"TRAINING_DATA_DIR={str(directory)!r} cannot be made: {error.strerror}"
            ) from error
    return directory


async def _swept(trainer: ModelTrainer) -> None:
    try:
        await trainer.sweep()
    except OSError as error:
        log.warning("what killed processes left in TRAINING_DATA_DIR is not swept: %s", error)


def _deadline(settings: Settings) -> float:
    """Seconds for a request as a whole. Where a model answers, all its stages share VLLM_TIMEOUT."""
    if settings.slm_impl == "local":
        return settings.request_timeout
    return min(settings.request_timeout, settings.vllm_timeout)


def _playbook(name: str) -> Path | None:
    if name == "none":
        return None
    return SHIPPED_PLAYBOOK if name == "shipped" else Path(name)


def _warm_up(stack: AsyncExitStack, backend: SLMClient | None) -> None:
    """In the background: a backend that is not there yet must not hold up the start."""
    warmup = getattr(backend, "warmup", None)
    if warmup is None:
        return

    _in_background(stack, _said(warmup, "the backend is not warm"))


async def _said(work: Callable[[], Awaitable[None]], otherwise: str) -> None:
    """Where it fails for a reason of ours, the log says so and the service goes on."""
    try:
        await work()
    except ServiceError as error:
        log.warning("%s: %s", otherwise, error.detail)


def _in_background(stack: AsyncExitStack, work: Coroutine[Any, Any, None]) -> None:
    """Started now, stopped when the stack closes."""
    task = asyncio.create_task(work)

    async def stop() -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(stop)
