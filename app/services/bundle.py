"""Services: what both doors receive, an index of what the product can do."""

from __future__ import annotations

from dataclasses import dataclass

from app.clients.slm.base import SLMClient
from app.services.canaries import Canaries
from app.services.candidates import Candidates
from app.services.dependencies import Dependencies
from app.services.hypothesizer import Hypothesizer
from app.services.learned import LearnedStates
from app.services.learner import Learner
from app.services.memories import MemoryService
from app.services.persona import PersonaService
from app.services.playbook import Playbook
from app.services.playbook_edits import PlaybookEdits
from app.services.privacy import Privacy
from app.services.promotion import Promotion
from app.services.recall import Recall
from app.services.reconciler import Reconciler
from app.services.training import ModelTrainer, TrainingDataCollector
from app.services.training.desk import TrainingDesk
from app.services.training.runner import JobRunner
from app.storage.base import Store


@dataclass(frozen=True, slots=True)
class Access:
    """One entry of API_KEYS: whose key, what it may do, and its SHA-256."""

    tenant: str
    scopes: frozenset[str]
    digest: str

    @classmethod
    def parse(cls, entry: str) -> Access:
        """From `tenant:scopes:sha256hex`, scopes joined by +."""
        tenant, scopes, digest = entry.split(":")
        return cls(tenant, frozenset(scopes.split("+")), digest.lower())


@dataclass(frozen=True, slots=True)
class Services:
    """Everything open, as plain attributes."""

    hypothesizer: Hypothesizer
    learner: Learner
    memories: MemoryService
    recall: Recall
    persona: PersonaService
    playbook: Playbook
    learned: LearnedStates
    playbook_edits: PlaybookEdits
    privacy: Privacy
    collector: TrainingDataCollector
    trainer: ModelTrainer
    training: TrainingDesk
    runner: JobRunner
    candidates: Candidates
    promotion: Promotion
    canaries: Canaries
    reconciler: Reconciler
    dependencies: Dependencies
    store: Store
    slm: SLMClient
    access: tuple[Access, ...]
    request_timeout: float
