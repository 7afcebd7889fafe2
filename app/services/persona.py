"""What is known of a user: learned from what they pick, used to answer for them and to order options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from app.clients.embedding.base import Embedder
from app.clients.slm.base import Call, Completion, Lane, SLMClient, UpdateFacets
from app.errors import BackendAnswerInvalid, BackendError
from app.models import Facet, FacetChange, RankedText
from app.services import preference
from app.services.facets import Evidence, EvidenceKind, FacetPair, crowded_out, fold, judged, known, stated
from app.services.likeness import Likeness
from app.services.locks import KeyedLocks
from app.storage.base import Personas, Profile
from app.text import stems

__all__ = ["Evidence", "EvidenceKind", "PersonaService", "facet_body"]

_HEURISTIC = "heuristic"
_SURE = 0.5
_CONFIRMED = 2
_MOST_CHANGES = 3


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one record changed: each facet before (None: new) and after, and who read the record."""

    pairs: Sequence[FacetPair] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Completion.origin; of the heuristic, its name alone."""


class PersonaService:
    """Facets of users. Without `slm_client`, or where it fails, the heuristic reads the evidence."""

    def __init__(self, store: Personas, embedder: Embedder, slm_client: SLMClient | None = None) -> None:
        self._store, self._embedder, self._slm_client = store, embedder, slm_client
        self._lock = KeyedLocks()

    async def profile(self, tenant: str, user_id: str) -> Profile:
        """The facets that hold now, and the version of the user's memories."""
        return await self._store.profile(tenant, user_id)

    async def history(self, tenant: str, user_id: str) -> list[Facet]:
        """Every facet ever held, closed ones too, oldest first."""
        return await self._store.facet_history(tenant, user_id)

    async def learn(self, evidence: Evidence) -> Lesson:
        """Fold one record into the persona.

        Learning twice from one record changes nothing the second time. Meant to run off the
        answer's path; calls for one user wait for each other. Raises StorageError.
        """
        async with self._lock(evidence.tenant, evidence.user_id):
            evidence = evidence.clipped()
            history = await self._store.facet_history(evidence.tenant, evidence.user_id)
            if known(history, evidence.record_id) or not evidence.selected.strip():
                return Lesson()
            held = [facet for facet in history if facet.valid_to is None]
            lesson = await self._lesson(evidence, held)
            changed = [after for _, after in lesson.pairs]
            await self._store.save_facets(evidence.tenant, evidence.user_id, changed)
            return lesson

    async def state(self, tenant: str, user_id: str, name: str, value: str | None) -> list[FacetPair]:
        """What users say of themselves: it stands at once, with confidence 1; None ends the facet."""
        async with self._lock(tenant, user_id):
            held = (await self._store.profile(tenant, user_id)).facets
            named = [facet for facet in held if stems(facet.name) == stems(name)]
            pairs = stated(
                named, tenant=tenant, user_id=user_id, name=name, value=value, at=datetime.now(UTC)
            )
            await self._store.save_facets(tenant, user_id, [after for _, after in pairs])
            return pairs

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
        profile = await self._store.profile(tenant, user_id)
        return await preference.order(profile.facets, query, candidates, self._embedder)

    async def _lesson(self, evidence: Evidence, held: Sequence[Facet]) -> Lesson:
        before = {facet.id: facet for facet in held}
        if evidence.judges:
            after = judged(held, evidence)
            return Lesson([(before[facet.id], facet) for facet in after], {"backend": _HEURISTIC})
        read = await self._compute_facet_updates(evidence, held)
        return Lesson(await self._folded(read.value, evidence, held, read.producer), read.origin)

    async def _folded(
        self, changes: Sequence[FacetChange], evidence: Evidence, held: Sequence[Facet], producer: str
    ) -> list[FacetPair]:
        texts = (text for facet in held for text in (facet.name, facet.context))
        names = (change.name for change in changes)
        likeness = await Likeness.of(self._embedder, (evidence.input_text, *names, *texts))
        before = {facet.id: facet for facet in held}
        after: dict[str, Facet] = {}
        for change in changes:
            about = [
                facet
                for facet in held
                if facet.id not in after
                and likeness.alike(facet.name, change.name)
                and _same_setting(facet, evidence.input_text, likeness)
            ]
            after |= {facet.id: facet for facet in fold(about, change, evidence, producer)}
        standing = [facet for facet in {**before, **after}.values() if facet.valid_to is None]
        after |= {facet.id: facet for facet in crowded_out(standing, evidence.at)}
        return [(before.get(facet.id), facet) for facet in after.values()]

    async def _compute_facet_updates(
        self, evidence: Evidence, held: Sequence[Facet]
    ) -> Completion[list[FacetChange]]:
        """What the evidence says of the user, and who read it."""
        if self._slm_client is not None and evidence.kind != "undo":
            try:
                return await self._vllm_compute_facet_updates(self._slm_client, evidence, held)
            except BackendError:
                pass  # the wrappers around the client have counted it
        return Completion(self._heuristic_compute_facet_updates(evidence), _HEURISTIC, "")

    async def _vllm_compute_facet_updates(
        self, client: SLMClient, evidence: Evidence, held: Sequence[Facet]
    ) -> Completion[list[FacetChange]]:
        """A model's reading. Raises BackendError, also where a stand-in answers or nothing of it
        rests on the user's own words.
        """
        task = UpdateFacets(evidence.input_text, evidence.selected, evidence.options, tuple(held))
        call = Call(evidence.tenant, evidence.record_id, lane=Lane.BACKGROUND)
        completion = await client.run(task, call)
        changes = [
            replace(change, rejected=change.rejected or evidence.rejected)
            for change in completion.value
            if _grounded(change, evidence)
        ]
        if completion.degraded or not changes:
            raise BackendAnswerInvalid("no facet that the user's own words support")
        return replace(completion, value=changes[:_MOST_CHANGES])

    def _heuristic_compute_facet_updates(self, evidence: Evidence) -> list[FacetChange]:
        """The choice itself is the facet: its question, what was chosen, what was not."""
        return [FacetChange(evidence.name, evidence.selected, evidence.rejected)]


def facet_body(facet: Facet) -> dict[str, Any]:
    """A facet as the contract shows it."""
    body = asdict(facet)
    del body["context"]
    return body


def _surest(about: Sequence[Facet], request_text: str, settings: Likeness) -> Facet | None:
    fitting = [
        facet
        for facet in about
        if len(facet.evidence) >= _CONFIRMED or _same_setting(facet, request_text, settings)
    ]
    return max(fitting, key=lambda facet: facet.confidence, default=None)


def _same_setting(facet: Facet, request_text: str, likeness: Likeness) -> bool:
    """What a user stated without a request holds for all of them."""
    return not facet.context or likeness.alike(facet.context, request_text)


def _grounded(change: FacetChange, evidence: Evidence) -> bool:
    """Only what a user wrote or confirmed becomes persona: no word of the value may be the model's."""
    said = set(stems(" ".join((evidence.selected, evidence.input_text))))
    return bool(change.name.strip()) and bool(stems(change.value)) and said.issuperset(stems(change.value))
