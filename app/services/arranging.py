"""Which questions to show, in which order, with which confidence, and which answer to assume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.clients.embedding.base import Embedder
from app.errors import BackendError
from app.models import Hypothesis
from app.services.advance import is_audited
from app.services.habits import Offer, Prediction
from app.services.learned_choices import LearnedChoices
from app.services.preference_order import Candidate, value_of_information
from app.services.showing import Slate, best_order, show
from app.services.shown import Guess, Shown, ShownQuestion, calibration_key


@dataclass(frozen=True, slots=True)
class Proposal:
    """A question that could be asked, and what other services say of it."""

    hypothesis: Hypothesis
    persona_match: float = 0.0
    agreement: float = 0.0


@dataclass(frozen=True, slots=True)
class Occasion:
    """Whose request it is, and the origin that its record will keep."""

    tenant: str
    user_id: str
    request_id: str
    count: int
    origin: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arranged:
    hypotheses: tuple[Hypothesis, ...]
    """In the order shown, each with its confidence."""
    shown: Shown
    assumed: tuple[Hypothesis, str] | None = None
    """The question whose answer is assumed, and that answer."""


async def arrange(
    proposals: Sequence[Proposal], learned: LearnedChoices, embedder: Embedder, on: Occasion
) -> Arranged:
    """The `on.count` questions most likely to be picked, those first whose answers matter most.

    Chance changes the order alone, never which questions are shown; before a tenant's first answer
    nothing is changed at all. Where the embedder fails, nothing is guessed.
    """
    candidates = [_candidate(rank, one, learned, on) for rank, one in enumerate(proposals)]
    utilities = learned.order.utilities(candidates)
    best = best_order(utilities.tolist(), on.count)
    asked = [proposals[index].hypothesis for index in best]
    chosen = [candidates[index] for index in best]
    guesses = await _predictions(asked, learned, embedder, on.user_id)
    raws = learned.order.probabilities(chosen).tolist()
    values = [float(utilities[index]) for index in best]
    if any(guess is not None and guess.evidence > 0 for guess in guesses):
        values = _worths(asked, raws, guesses, learned.habits.skip_rate(on.user_id))
    slate = _slate(values, on.request_id, explored=learned.order.labels > 0)
    hypotheses = tuple(_confident(asked[place], raws[place], learned, on) for place in slate.order)
    shown = Shown(
        questions=tuple(
            ShownQuestion(asked[place].id, chosen[place], values[place], _guess(guesses[place]))
            for place in slate.order
        ),
        log_propensity=slate.log_propensity,
        advancing=learned.bound.bound.threshold is not None,
        audited=is_audited(on.request_id),
    )
    return Arranged(hypotheses, shown, _assumed(hypotheses, shown, learned))


def _candidate(rank: int, proposal: Proposal, learned: LearnedChoices, on: Occasion) -> Candidate:
    one = proposal.hypothesis
    own = learned.asked_before.own(on.user_id, one.detail)
    tenant = learned.asked_before.tenant(one.detail)
    return Candidate(
        raw=one.confidence.raw,
        rank=rank,
        importance=one.importance,
        producer=one.producer,
        persona_match=proposal.persona_match,
        agreement=proposal.agreement,
        own_picks=own.picks,
        own_shows=own.shows,
        tenant_picks=tenant.picks,
        tenant_shows=tenant.shows,
    )


async def _predictions(
    asked: Sequence[Hypothesis], learned: LearnedChoices, embedder: Embedder, user_id: str
) -> list[Prediction | None]:
    texts = [text for one in asked if one.options for text in (one.detail, *one.options)]
    try:
        vectors = iter(await embedder.embed(texts)) if texts else iter(())
    except BackendError:
        return [None] * len(asked)
    found: list[Prediction | None] = []
    for one in asked:
        if one.options:
            rows = [next(vectors) for _ in range(1 + len(one.options))]
            found.append(learned.habits.predict(user_id, Offer(rows[0], np.stack(rows[1:]))))
        else:
            found.append(None)
    return found


def _worths(
    asked: Sequence[Hypothesis],
    raws: Sequence[float],
    guesses: Sequence[Prediction | None],
    skip_rate: float,
) -> list[float]:
    """What asking each is worth to a user of whom something like it is known."""
    return [
        value_of_information(one.importance, raw, 1.0 if guess is None else guess.regret, skip_rate)
        for one, raw, guess in zip(asked, raws, guesses, strict=True)
    ]


def _slate(values: Sequence[float], request_id: str, *, explored: bool) -> Slate:
    if explored:
        return show(values, len(values), request_id)
    return Slate(tuple(range(len(values))), 0.0)


def _confident(one: Hypothesis, raw: float, learned: LearnedChoices, on: Occasion) -> Hypothesis:
    key = calibration_key(on.tenant, one.producer, on.origin)
    return replace(one, confidence=learned.ledger.confidence(key, round(raw, 4)))


def _guess(prediction: Prediction | None) -> Guess | None:
    return None if prediction is None else Guess(prediction.option, prediction.score)


def _assumed(
    hypotheses: Sequence[Hypothesis], shown: Shown, learned: LearnedChoices
) -> tuple[Hypothesis, str] | None:
    """The surest guess that the bound allows; none where the request is asked all the same."""
    surest = shown.surest
    if shown.audited or surest is None or surest.guess is None:
        return None
    if not learned.bound.allows(surest.guess.score):
        return None
    one = next(one for one in hypotheses if one.id == surest.id)
    return one, one.options[surest.guess.option]
