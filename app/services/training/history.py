"""The four files over again, from what the store holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from app.models import Advance, Choice, Facet, Feedback, Interaction, Selection
from app.services.training import lines
from app.services.training.lines import FEEDBACK, HYPOTHESES, PERSONAS, RANKINGS, Line
from app.storage.base import Store


@dataclass(frozen=True, slots=True)
class History:
    """What happened, as the store tells it."""

    interactions: Sequence[tuple[Interaction, Selection | None]] = ()
    choices: Sequence[Choice] = ()
    feedback: Sequence[Feedback] = ()
    undone: Sequence[Advance] = ()
    facets: Mapping[tuple[str, str], Sequence[Facet]] = field(default_factory=dict)
    """By (tenant, user_id), every facet ever held, oldest first."""


async def read_history(store: Store, tenant: str | None = None) -> History:
    """All that the store holds; of every tenant where None."""
    users = await store.list_users(tenant)
    return History(
        interactions=await store.iterate_interactions(tenant),
        choices=[choice for user in users for choice in await store.list_choices(*user)],
        feedback=[item for user in users for item in await store.list_feedback(*user)],
        undone=[
            advance
            for user in users
            for advance in await store.list_advances(*user)
            if advance.outcome == "undone"
        ],
        facets={user: (await store.load_persona(*user)).facets for user in users},
    )


def history_lines(history: History) -> dict[str, list[Line]]:
    """The lines of each file, by time: as recorded live, but for states of a facet since overwritten."""
    found = {
        HYPOTHESES: [*_hypotheses(history)],
        PERSONAS: [*_personas(history)],
        RANKINGS: [*_rankings(history)],
        FEEDBACK: [*_feedback(history)],
    }
    return {
        name: sorted(group, key=lambda line: (line["time"], line["record_id"]))
        for name, group in found.items()
    }


def _hypotheses(history: History) -> Iterator[Line]:
    for interaction, selection in history.interactions:
        if interaction.kind == "hypothesize":
            yield lines.shown_line(interaction)
            if selection is not None:
                yield lines.selection_line(interaction, selection)
    asked = {(interaction.tenant, interaction.id): interaction for interaction, _ in history.interactions}
    for advance in history.undone:
        # Asked and undone between two reads: the request is not among those that were read.
        known = asked.get((advance.tenant, advance.request_id))
        if known is not None:
            yield lines.undo_line(known, advance)


def _rankings(history: History) -> Iterator[Line]:
    ranked = {
        (interaction.tenant, interaction.id): interaction
        for interaction, _ in history.interactions
        if interaction.kind != "hypothesize"
    }
    yield from map(lines.shown_line, ranked.values())
    for feedback in history.feedback:
        interaction = ranked.get((feedback.tenant, feedback.request_id or ""))
        if interaction is not None:
            yield lines.labels_line(interaction, feedback)


def _feedback(history: History) -> Iterator[Line]:
    asked = {(interaction.tenant, interaction.id): interaction for interaction, _ in history.interactions}
    for feedback in history.feedback:
        yield lines.feedback_line(feedback, asked.get((feedback.tenant, feedback.request_id or "")))
    yield from map(lines.choice_line, history.choices)


def _personas(history: History) -> Iterator[Line]:
    for (tenant, user_id), facets in history.facets.items():
        held: dict[str, Facet] = {}
        for facet in facets:
            evidence = facet.evidence[-1] if facet.evidence else ""
            yield lines.persona_line(tenant, user_id, held.get(facet.name), facet, evidence)
            held[facet.name] = facet
