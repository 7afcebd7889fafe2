"""What a record says of its user, as the persona reads it."""

from __future__ import annotations

from app.models import Choice, Interaction, Selection
from app.services.facets import Evidence
from app.storage.base import Event


def of_selection(said: Selection, shown: Interaction) -> Evidence | None:
    """None where no answer was given: to pick a question says what matters, not what is wanted."""
    answer = said.option or said.free_text
    offered = {hypothesis["id"]: hypothesis for hypothesis in shown.answer["hypotheses"]}
    if answer is None or said.hypothesis_id not in offered:
        return None
    hypothesis = offered[said.hypothesis_id]
    return Evidence(
        record_id=said.request_id,
        tenant=said.tenant,
        user_id=said.user_id,
        input_text=shown.input_text,
        name=hypothesis["detail"],
        selected=answer,
        options=tuple(hypothesis["options"]) if said.option else (),
        kind="pick" if said.option else "typed",
        at=said.created_at,
    )


def of_choice(choice: Choice) -> Evidence:
    return Evidence(
        record_id=choice.id,
        tenant=choice.tenant,
        user_id=choice.user_id,
        input_text=choice.input_text,
        name=choice.input_text,
        selected=choice.selected,
        options=choice.options,
        kind="choice",
        at=choice.created_at,
    )


def of_event(event: Event) -> Evidence | None:
    """Of selections and choices alone: what opposes a facet must not be heard again after later records."""
    match event.record:
        case Selection() as said if event.interaction is not None:
            return of_selection(said, event.interaction)
        case Choice() as choice:
            return of_choice(choice)
        case _:
            return None
