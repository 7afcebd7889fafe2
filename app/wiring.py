"""The only room that knows concrete classes: settings in, open services out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from app.clients.embedding.base import Embedder
from app.clients.embedding.http import HTTPEmbedder
from app.clients.embedding.static import StaticEmbedder
from app.clients.slm.base import SLMClient
from app.clients.slm.local import LocalClient
from app.config import Settings
from app.errors import ConfigError
from app.services.adapters import ANY, AdapterRegistry
from app.services.background import Background
from app.services.bundle import Access, Services
from app.services.hypothesizer import Hypothesizer, Limits
from app.services.learner import Learner
from app.services.memories import MemoryService
from app.services.persona import PersonaService
from app.services.playbook import Playbook
from app.services.privacy import Privacy
from app.services.ranking import RankingService
from app.services.recall import Recall
from app.services.training import TrainingDataCollector
from app.storage.open import migrate, open_store

log = logging.getLogger(__name__)
SHIPPED_PLAYBOOK = Path(__file__).resolve().parent.parent / "data" / "playbook" / "in3.jsonl"
