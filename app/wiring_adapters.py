"""The adapter rooms put together: shelf, replicas kept up to date, arms, trials, examinations."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from app.clients.slm.probe import VLLMProbe
from app.clients.slm.replicas import VLLMReplica
from app.config import Settings, training_environment
from app.models import SERVED
from app.services.adapter_facts import ServerLimits, same_base
from app.services.adapter_files import AdapterFiles
from app.services.adapters import AdapterRegistry
from app.services.arms import Arms
from app.services.canaries import Canaries, TrialRules
from app.services.exam import Examiner
from app.services.experiments import Rules
from app.services.promotion import Promotion
from app.services.reconciler import Reconciler
from app.services.training.evaluation import RecipeEvaluator
from app.services.training.runner import Interpreter
from app.services.training.trainer import EVALUATIONS
from app.storage.base import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AdapterRooms:
    """What Services and the hypothesizer take over."""

    registry: AdapterRegistry
    reconciler: Reconciler
    arms: Arms | None
    """None where the backend has no adapters."""
    promotion: Promotion
    canaries: Canaries
    examiner: Examiner | None


async def open_adapters(
    settings: Settings,
    store: Store,
    replicas: Sequence[VLLMReplica],
    stack: AsyncExitStack,
) -> AdapterRooms:
    """The reconciler runs until the stack closes; whoever serves lets the canaries watch."""
    outputs = trained_directory(settings)
    limits = ServerLimits(settings.vllm_model_name, settings.vllm_max_lora_rank)
    files = AdapterFiles(Path(settings.adapters_dir), [outputs, jobs_directory(settings)], limits)
    registry = AdapterRegistry(
        store, files, frozenset(settings.lora_allowed), backend_has_adapters=settings.slm_impl == "vllm"
    )
    base = settings.vllm_model_name
    reconciler = await stack.enter_async_context(Reconciler(store, replicas, base_model=base))
    return AdapterRooms(
        registry=registry,
        reconciler=reconciler,
        arms=Arms(store, reconciler.ready, base=base) if replicas else None,
        promotion=Promotion(
            store,
            registry,
            outputs,
            datasets=Path(settings.training_data_dir) / "datasets",
            alpha=settings.experiment_alpha,
            share=settings.canary_share,
            base_model=base,
        ),
        canaries=Canaries(store, reconciler.ready, _trial_rules(settings), why_not=reconciler.why_not),
        examiner=_examiner(settings, replicas, stack),
    )


def _trial_rules(settings: Settings) -> TrialRules:
    """No user counts while an assumption of theirs can still be taken back."""
    window = max(Rules().window_seconds, settings.undo_seconds)
    return TrialRules(canary=Rules(window_seconds=window))


async def without_withdrawn(settings: Settings, store: Store) -> Settings:
    """VLLM_LORA_NAME goes round no registry: what is registered there answers in a state of SERVED only."""
    name = settings.vllm_lora_name
    found = await store.get_adapter(None, name) if name else None
    if found is None:
        return settings
    if found.state in SERVED and same_base(found.base_model, settings.vllm_model_name):
        return settings
    log.warning(
        "VLLM_LORA_NAME=%s is not used: it is registered, %s and of base %s; the base model answers",
        found.name,
        found.state,
        found.base_model,
    )
    return settings.model_copy(update={"vllm_lora_name": None})


def jobs_directory(settings: Settings) -> Path:
    return Path(settings.training_data_dir) / "jobs"


def trained_directory(settings: Settings) -> Path:
    """A directory of each tenant's own lies in it."""
    return Path(settings.adapters_dir) / "trained"


def trainable_models(settings: Settings) -> tuple[str, ...]:
    """The first is trained where a caller names none."""
    return settings.training_models or (settings.vllm_model_name,)


def training_interpreter(settings: Settings) -> Interpreter:
    return Interpreter(Path(settings.training_python), training_environment())


def _examiner(settings: Settings, replicas: Sequence[VLLMReplica], stack: AsyncExitStack) -> Examiner | None:
    if not replicas:
        return None
    key = settings.vllm_api_key
    probe = VLLMProbe(replicas[0].url, key.get_secret_value() if key else None)
    stack.push_async_callback(probe.aclose)
    model = trainable_models(settings)[0]
    place = Path(settings.training_data_dir) / EVALUATIONS
    evaluator = RecipeEvaluator(training_interpreter(settings), place, model)
    return Examiner(replicas[0], probe, evaluator, settings.vllm_model_name)
