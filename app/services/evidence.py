"""What a record says of its user, as the persona reads it."""

from __future__ import annotations

from app.models import Advance, Choice, Feedback, Interaction, Selection
from app.services.advances import detail_of
from app.services.facets import Evidence
from app.storage.base import Event


def of_event(event: Event) -> Evidence | None:
    """None for what says nothing of what the user wants."""
    match event.record, event.interaction:
        case Selection() as said, Interaction() as shown:
            return of_selection(said, shown)
        case Choice() as choice, _:
            return of_choice(choice)
        case Feedback() as said, Interaction() as about:
            return of_feedback(said, about)
        case Advance(outcome="undone") as advance, Interaction() as asked:
            return of_undo(advance, asked)
        case _:
            return None


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


def of_feedback(said: Feedback, about: Interaction) -> Evidence | None:
    """A correction is the user's own word and a facet of its own.

    A full rating (1 or -1) speaks for or against the facets that the answer to that request taught.
    """
    rates = said.correction is None
    if rates and abs(said.rating) < 1:
        return None
    return Evidence(
        record_id=said.id,
        tenant=said.tenant,
        user_id=said.user_id,
        input_text=about.input_text,
        name=about.input_text,
        selected=said.correction or "",
        options=(),
        kind="feedback",
        at=said.created_at,
        judges=about.id if rates else "",
        against=rates and said.rating < 0,
    )


def of_undo(advance: Advance, asked: Interaction) -> Evidence:
    """Not that option."""
    return Evidence(
        record_id=advance.token,
        tenant=advance.tenant,
        user_id=advance.user_id,
        input_text=asked.input_text,
        name=detail_of(asked, advance),
        selected=advance.option,
        options=(),
        kind="undo",
        at=advance.settled_at or advance.expires_at,
        request_id=asked.id,
    )
