"""The fold of order, confidence, habits and bound, fed with events as the store would hand them over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from app.models import Advance, Interaction, Selection
from app.services.advance import SILENCE_WEIGHT
from app.services.calibration import ENOUGH
from app.services.habits import Offer
from app.services.learned_choices import LearnedChoices, offer_texts
from app.services.preference_order import Candidate
from app.services.shown import Guess, Shown, ShownQuestion, calibration_key
from tests.nouns import a_selection, an_advance, an_interaction

OFFER = Offer(np.eye(4, dtype=np.float32)[0], np.eye(4, dtype=np.float32)[1:3])


def asked(
    number: int = 0, score: float = 0.95, other: Guess | None = None, advancing: bool = False
) -> Interaction:
    """Two questions with options Python and Go; the first is guessed to be answered Python."""
    shown = Shown(
        questions=tuple(
            ShownQuestion(name, Candidate(0.5, rank, 3 - rank, "local"), -rank / 2, guess)
            for rank, (name, guess) in enumerate([("h1", Guess(0, score)), ("h2", other)])
        ),
        log_propensity=0.0,
        advancing=advancing,
        audited=False,
    )
    row = an_interaction(f"r{number}")
    hypotheses = [
        one | {"detail": f"detail {one['id']}", "producer": "vllm"} for one in row.answer["hypotheses"]
    ]
    return replace(row, answer={"hypotheses": hypotheses}, record={**row.record, "shown": shown.kept()})


def said(number: int = 0, **fields: Any) -> Selection:
    return a_selection(f"r{number}", **fields)


def predicted(choices: LearnedChoices) -> float:
    return choices.habits.predict("ann", OFFER).probabilities[0]


def test_what_was_shown_is_read_as_it_was_kept() -> None:
    shown = Shown.of(asked())
    assert shown is not None
    assert replace(asked(), record={"shown": shown.kept()}).record["shown"] == asked().record["shown"]
    assert shown.guess("h1") == Guess(0, 0.95)
    assert shown.guess("h2") is shown.guess(None) is None
    assert Shown.of(an_interaction()) is None


def test_confidence_is_calibrated_once_there_are_labels_enough() -> None:
    choices = LearnedChoices()
    key = calibration_key("default", "vllm", asked().record)
    for number in range(ENOUGH // 2):
        assert choices.ledger.confidence(key, 0.6).calibrated is None
        choices.selected(asked(number), said(number), OFFER)
    confidence = choices.ledger.confidence(key, 0.6)
    assert (confidence.labels, confidence.calibrated is not None) == (ENOUGH, True)
    other = calibration_key("default", "vllm", {**asked().record, "adapter": "new"})
    assert choices.ledger.confidence(other, 0.6).labels == 0
    (report,) = choices.report()["calibrations"]
    assert (report["model"], report["adapter"], report["labels"]) == ("small", None, ENOUGH)


def test_the_order_learns_what_is_picked() -> None:
    choices = LearnedChoices()
    before = choices.order.utilities([Candidate(0.5, 0, 3, "local"), Candidate(0.5, 1, 2, "local")])
    for number in range(30):
        choices.selected(asked(number), said(number, hypothesis_id="h2"), OFFER)
    after = choices.order.utilities([Candidate(0.5, 0, 3, "local"), Candidate(0.5, 1, 2, "local")])
    assert before[0] > before[1]
    assert after[1] > after[0]
    assert choices.asked_before.tenant("detail h2").picks == 30
    assert choices.asked_before.own("bob", "detail h2").shows == 0


def test_typed_words_are_a_wrong_guess_and_none_of_these_is_no_label() -> None:
    choices = LearnedChoices()
    choices.selected(asked(1), said(1, hypothesis_id=None, option=None), None)
    choices.selected(asked(2), said(2, option=None), OFFER)
    assert choices.bound.bound.labels == 0
    for number in range(40):
        choices.selected(asked(number), said(number, option=None, free_text="Rust"), OFFER)
    assert choices.bound.bound.labels == 40
    assert choices.bound.bound.threshold is None
    assert choices.habits.skip_rate("ann") < 0.1


def test_only_the_question_that_could_be_assumed_labels_the_bound() -> None:
    choices = LearnedChoices()
    choices.selected(asked(1, other=Guess(0, 0.9)), said(1, hypothesis_id="h2"), OFFER)
    assert choices.bound.bound.labels == 0
    choices.selected(asked(2, other=Guess(0, 0.97)), said(2, hypothesis_id="h2"), OFFER)
    assert choices.bound.bound.labels == 1
    assert predicted(choices) > 0.5


def test_right_guesses_allow_an_advance_and_while_it_stands_only_audits_count() -> None:
    choices = LearnedChoices(alpha=0.1)
    number = 0
    while not choices.bound.allows(0.95):
        choices.selected(asked(number), said(number), OFFER)
        number += 1
        assert number < 200
    labels = choices.bound.bound.labels
    choices.selected(asked(number, advancing=True), said(number), OFFER)
    assert choices.bound.bound.labels == labels


def test_an_undo_weighs_more_against_an_option_than_silence_for_it() -> None:
    taken_back, let_stand = LearnedChoices(), LearnedChoices()
    for choices in (taken_back, let_stand):
        for number in range(3):
            choices.selected(asked(number), said(number), OFFER)
    before = predicted(taken_back)
    taken_back.settled(asked(9), an_advance(outcome="undone"), OFFER)
    let_stand.settled(asked(9), an_advance(outcome="silent"), OFFER)
    assert before - predicted(taken_back) > predicted(let_stand) - before > 0
    assert SILENCE_WEIGHT < 1


def test_undos_stop_what_was_allowed() -> None:
    choices = LearnedChoices(alpha=0.1)
    for number in range(200):
        choices.selected(asked(number), said(number), OFFER)
    assert choices.bound.allows(0.95)
    for number in range(60):
        choices.settled(asked(number), an_advance(outcome="undone"), OFFER)
    assert not choices.bound.allows(0.95)


def test_the_texts_of_an_offer_are_those_of_what_was_picked_or_assumed() -> None:
    texts = ("detail h1", "Python", "Go")
    assert offer_texts(asked(), said()) == offer_texts(asked(), an_advance()) == texts
    assert offer_texts(asked(), said(hypothesis_id=None, option=None)) == ()
    assert offer_texts(None, said()) == ()


def test_a_request_from_before_all_this_teaches_no_order() -> None:
    choices = LearnedChoices()
    choices.selected(an_interaction(), a_selection(), OFFER)
    advance: Advance = an_advance(outcome="undone")
    choices.settled(an_interaction(), advance, OFFER)
    assert choices.order.labels == choices.bound.bound.labels == 0
