"""Who reads facets out of a record: a model where there is one, else the heuristic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.clients.slm.base import Call, Completion, Lane, SLMClient, UpdateFacets
from app.errors import BackendAnswerInvalid, BackendError
from app.models import Facet, FacetChange, Reading
from app.services.facets import Evidence
from app.text import stems

HEURISTIC = "heuristic"
_MOST_CHANGES = 3


def heuristic_reading(evidence: Evidence) -> Reading:
    """The choice itself is the facet: its question, what was chosen, what was not."""
    return Reading(HEURISTIC, (FacetChange(evidence.name, evidence.selected, evidence.rejected),))


class FacetReader:
    """Without `slm_client`, or where it fails, the heuristic reads the evidence."""

    def __init__(self, slm_client: SLMClient | None = None) -> None:
        self._slm_client = slm_client

    async def read(self, evidence: Evidence, held: Sequence[Facet]) -> Completion[list[FacetChange]]:
        """What the evidence says of the user, and who read it."""
        if self._slm_client is not None and evidence.kind != "undo":
            try:
                return await self._asked(self._slm_client, evidence, held)
            except BackendError:
                pass  # the wrappers around the client have counted it
        return Completion(list(heuristic_reading(evidence).changes), HEURISTIC, "")

    async def _asked(
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


def _grounded(change: FacetChange, evidence: Evidence) -> bool:
    """Only what a user wrote or confirmed becomes persona: no word of the value may be the model's."""
    said = set(stems(" ".join((evidence.selected, evidence.input_text))))
    return bool(change.name.strip()) and bool(stems(change.value)) and said.issuperset(stems(change.value))
