"""What is known of a user: learned from what they pick, used to answer for them and to order options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from app.clients.embedding.base import Embedder
from app.clients.slm.base import SLMClient
from app.models import Facet, Feedback, RankedText
from app.services import preference
from app.services.facet_reading import FacetReader
from app.services.facets import confidence_at, known
from app.services.feedback import same_again
from app.services.likeness import Likeness
from app.services.locks import KeyedLocks
from app.services.persona_fold import Lesson, PersonaFold, stepped
from app.storage.base import Event, Interactions, Learning, Persona, Personas, Profile

_SURE = 0.5
_CONFIRMED = 2
_PAGE = 100


class Source(Personas, Learning, Interactions, Protocol):
    """Of the store, personas and what they are folded from."""


class PersonaService:
    """Facets of users. Without `slm_client`, or where it fails, the heuristic reads the evidence.

    What leaves here has the confidence of now: facets fade (facets.py). `clock` gives an aware time.
    """

    def __init__(
        self,
        store: Source,
        embedder: Embedder,
        slm_client: SLMClient | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._embedder, self._clock = store, embedder, clock
        self._first = PersonaFold(embedder, FacetReader(slm_client))
        self._again = PersonaFold(embedder)
        self._lock = KeyedLocks()

    async def profile(self, tenant: str, user_id: str) -> Profile:
        """The facets that hold now, and the version of the user's memories."""
        profile = await self._store.profile(tenant, user_id)
        return replace(profile, facets=tuple(self._as_of_now(profile.facets)))

    async def history(self, tenant: str, user_id: str) -> list[Facet]:
        """Every facet ever held, closed ones too, oldest first."""
        return self._as_of_now((await self._store.load_persona(tenant, user_id)).facets)

    async def learn(self, tenant: str, user_id: str) -> list[Lesson]:
        """Fold in what this user has said since, in the order of the events; the lessons of this call.

        Nothing is learned twice, whoever learns beside this. Meant to run off the answer's path; calls
        for one user wait for each other. Raises StorageError.
        """
        lessons: list[Lesson] = []
        async with self._lock(tenant, user_id):
            persona = await self._store.load_persona(tenant, user_id)
            while events := await self._store.events_after(tenant, persona.seq, _PAGE, user_id):
                for event in events:
                    lesson = await self._lesson(self._first, event, persona)
                    if not await self._keep(event, lesson, since=persona.seq):
                        # Another process was faster, or the user was erased.
                        persona = await self._store.load_persona(tenant, user_id)
                        break
                    persona = stepped(persona, lesson, event.seq)
                    lessons.append(lesson)
        return lessons

    async def refold(self, tenant: str, user_id: str) -> None:
        """Write the persona anew from the events it was folded from. Raises StorageError, BackendError."""
        async with self._lock(tenant, user_id):
            while True:
                seq = (await self._store.load_persona(tenant, user_id)).seq
                again = await self._refolded(tenant, user_id, seq)
                saved = await self._store.save_facets(
                    tenant, user_id, again.facets, since=seq, seq=seq, anew=True
                )
                if saved or not seq:
                    return

    async def is_folded(self, tenant: str, user_id: str) -> bool:
        """Is what is stored what a fold over the same events gives? Raises StorageError, BackendError."""
        stored = await self._store.load_persona(tenant, user_id)
        return stored == await self._refolded(tenant, user_id, stored.seq)

    async def answered(
        self, profile: Profile, details: Sequence[str], request_text: str
    ) -> list[Facet | None]:
        """For each detail of this request the facet that already answers it, the surest one; else None.

        It must be about that detail, be more likely right than not, and either come from a request
        like this one or have been confirmed twice. Where the embedder fails, words alone compare.
        """
        sure = [facet for facet in profile.facets if facet.confidence >= _SURE]
        if not sure:
            return [None] * len(details)
        names = await Likeness.of(self._embedder, (*details, *(facet.name for facet in sure)))
        about = [[facet for facet in sure if names.alike(detail, facet.name)] for detail in details]
        contexts = [facet.context for facets in about for facet in facets]
        if not contexts:
            return [None] * len(details)
        settings = await Likeness.of(self._embedder, (request_text, *contexts))
        return [_surest(facets, request_text, settings) for facets in about]

    async def matches(self, profile: Profile, details: Sequence[str]) -> list[float]:
        """How near each detail is to what is known of the user: the highest cosine, 0 without facets."""
        if not profile.facets:
            return [0.0] * len(details)
        names = [facet.name for facet in profile.facets]
        likeness = await Likeness.of(self._embedder, (*details, *names))
        return [max(likeness.cosine(detail, name) for name in names) for detail in details]

    async def rank(
        self, tenant: str, user_id: str, query: str, candidates: Sequence[str]
    ) -> tuple[list[RankedText], str]:
        """The candidates in the order this user would have them, best first, and who ordered them.

        Scores and producers are those of preference.order. Raises StorageError.
        """
        profile = await self.profile(tenant, user_id)
        return await preference.order(profile.facets, query, candidates, self._embedder)

    async def _lesson(self, fold: PersonaFold, event: Event, persona: Persona) -> Lesson:
        """The same judgement of the same request teaches once."""
        if isinstance(event.record, Feedback) and event.interaction is not None:
            said = await self._store.list_feedback(event.tenant, event.user_id)
            alike = {one.id for one in said if same_again(one, event.record)}
            if known(persona.facets, alike):
                return Lesson()
        return await fold.lesson(event, persona)

    async def _keep(self, event: Event, lesson: Lesson, *, since: int) -> bool:
        return await self._store.save_facets(
            event.tenant, event.user_id, lesson.facets, since=since, seq=event.seq, reading=lesson.reading
        )

    async def _refolded(self, tenant: str, user_id: str, upto: int) -> Persona:
        persona = Persona((), 0)
        while events := await self._store.events_after(tenant, persona.seq, _PAGE, user_id):
            for event in events:
                if event.seq > upto:
                    return persona
                lesson = await self._lesson(self._again, event, persona)
                persona = stepped(persona, lesson, event.seq)
        return persona

    def _as_of_now(self, facets: Sequence[Facet]) -> list[Facet]:
        now = self._clock()
        return [replace(facet, confidence=confidence_at(facet, now)) for facet in facets]


def facet_body(facet: Facet) -> dict[str, Any]:
    """A facet as the contract shows it."""
    body = asdict(facet)
    del body["context"]
    return body


def _surest(about: Sequence[Facet], request_text: str, settings: Likeness) -> Facet | None:
    fitting = [
        facet
        for facet in about
        if len(facet.evidence) >= _CONFIRMED or settings.same_setting(facet.context, request_text)
    ]
    return max(fitting, key=lambda facet: facet.confidence, default=None)
