"""A persona as a fold over the events of its user: each event is one step, in the order of the events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from app.clients.embedding.base import Embedder
from app.errors import BackendError
from app.models import Facet, Reading, Statement
from app.services.evidence import of_event
from app.services.facet_reading import HEURISTIC, FacetReader, heuristic_reading
from app.services.facets import Evidence, FacetPair, crowded_out, fold, judged, stated
from app.services.likeness import Likeness
from app.storage.base import Event, Persona


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one event changed: each facet before (None: new) and after, and who read its record."""

    record_id: str = ""
    pairs: Sequence[FacetPair] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Completion.origin; of what no model read, the name of the reader alone."""
    reading: Reading | None = None
    """What must be kept with the event, so that the next fold learns the same from it."""

    @property
    def facets(self) -> list[Facet]:
        """As they are now."""
        return [after for _, after in self.pairs]


def stepped(persona: Persona, lesson: Lesson, seq: int) -> Persona:
    """The persona after the lesson of the event `seq`."""
    facets = {facet.id: facet for facet in (*persona.facets, *lesson.facets)}
    return Persona(tuple(sorted(facets.values(), key=lambda facet: (facet.valid_from, facet.id))), seq)


class PersonaFold:
    """The steps. With a `reader`, records are read for the first time; without one, only again."""

    def __init__(self, embedder: Embedder, reader: FacetReader | None = None) -> None:
        self._embedder, self._reader = embedder, reader

    async def lesson(self, event: Event, persona: Persona) -> Lesson:
        """What the event teaches, given all that its user said before it.

        Raises BackendError where records are read again and the embedder fails.
        """
        held = [facet for facet in persona.facets if facet.valid_to is None]
        if isinstance(event.record, Statement):
            return Lesson(event.record.id, stated(held, event.record), {"backend": "user"})
        evidence = of_event(event)
        if evidence is None:
            return Lesson()
        evidence = evidence.clipped()
        if evidence.judges:
            before = {facet.id: facet for facet in held}
            pairs = [(before[after.id], after) for after in judged(held, evidence)]
            return Lesson(evidence.record_id, pairs, {"backend": HEURISTIC})
        if not evidence.selected.strip():
            return Lesson()
        return await self._read(evidence, held, event.reading)

    async def _read(self, evidence: Evidence, held: Sequence[Facet], kept: Reading | None) -> Lesson:
        plain = heuristic_reading(evidence)
        reading, origin = kept or plain, {"backend": (kept or plain).producer}
        if kept is None and self._reader is not None:
            read = await self._reader.read(evidence, held)
            reading, origin = Reading(read.producer, tuple(read.value)), read.origin
        likeness, by_words = await self._likeness(evidence, held, reading)
        reading = replace(reading, by_words=by_words)
        pairs = _folded(reading, evidence, held, likeness)
        return Lesson(evidence.record_id, pairs, origin, None if reading == plain else reading)

    async def _likeness(
        self, evidence: Evidence, held: Sequence[Facet], reading: Reading
    ) -> tuple[Likeness, bool]:
        """How texts compare for this record, and whether by words alone, as when it was first read."""
        told = (text for facet in held for text in (facet.name, facet.context))
        texts = (evidence.input_text, *(change.name for change in reading.changes), *told)
        if reading.by_words:
            return Likeness.by_words(texts), True
        try:
            return await Likeness.by_meaning(self._embedder, texts), False
        except BackendError:
            if self._reader is None:
                raise
            return Likeness.by_words(texts), True


def _folded(
    reading: Reading, evidence: Evidence, held: Sequence[Facet], likeness: Likeness
) -> list[FacetPair]:
    before = {facet.id: facet for facet in held}
    after: dict[str, Facet] = {}
    for change in reading.changes:
        about = [
            facet
            for facet in held
            if facet.id not in after
            and likeness.alike(facet.name, change.name)
            and likeness.same_setting(facet.context, evidence.input_text)
        ]
        after |= {facet.id: facet for facet in fold(about, change, evidence, reading.producer)}
    standing = [facet for facet in {**before, **after}.values() if facet.valid_to is None]
    after |= {facet.id: facet for facet in crowded_out(standing, evidence.at)}
    return [(before.get(facet.id), facet) for facet in after.values()]
