"""The adapter rooms put together: shelf, replicas kept up to date, arms, trials, examinations."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from app.clients.slm.probe import VLLMProbe
from app.clients.slm.replicas import VLLMReplica
from app.config import Settings, training_environment
from app.services.adapter_facts import ServerLimits
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
    reconciler = await stack.enter_async_context(Reconciler(store, replicas))
    return AdapterRooms(
        registry=registry,
        reconciler=reconciler,
        arms=Arms(store, reconciler.ready) if replicas else None,
        promotion=Promotion(
            store,
            registry,
            outputs,
            datasets=Path(settings.training_data_dir) / "datasets",
            alpha=settings.experiment_alpha,
            share=settings.canary_share,
        ),
        canaries=Canaries(store, reconciler.ready, _trial_rules(settings), why_not=reconciler.why_not),
        examiner=_examiner(settings, replicas, stack),
    )


def _trial_rules(settings: Settings) -> TrialRules:
    """No user counts while an assumption of theirs can still be taken back."""
    window = max(Rules().window_seconds, settings.undo_seconds)
    return TrialRules(canary=Rules(window_seconds=window))


def jobs_directory(settings: Settings) -> Path:
    return Path(settings.training_data_dir) / "jobs"


def trained_directory(settings: Settings) -> Path:
    """A directory of each tenant's own lies in it."""
    return Path(settings.adapters_dir) / "trained"


def training_interpreter(settings: Settings) -> Interpreter:
    return Interpreter(Path(settings.training_python), training_environment())


def _examiner(settings: Settings, replicas: Sequence[VLLMReplica], stack: AsyncExitStack) -> Examiner | None:
    if not replicas:
        return None
    key = settings.vllm_api_key
    probe = VLLMProbe(replicas[0].url, key.get_secret_value() if key else None)
    stack.push_async_callback(probe.aclose)
    model = (settings.training_models or (settings.vllm_model_name,))[0]
    place = Path(settings.training_data_dir) / EVALUATIONS
    evaluator = RecipeEvaluator(training_interpreter(settings), place, model)
    return Examiner(replicas[0], probe, evaluator, settings.vllm_model_name)
