"""What one tenant's answers teach beside the playbook: order, confidence, habits, what may be assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from app.models import Advance, Interaction, Selection
from app.services.advance import SILENCE_WEIGHT, AdvanceBound
from app.services.asked_before import AskedBefore
from app.services.habits import Habits, Offer
from app.services.ledger import ConfidenceLedger
from app.services.preference_order import PreferenceOrder
from app.services.shown import Shown, calibration_key

ALPHA, DELTA = 0.05, 0.1


class LearnedChoices:
    """A fold over events in one order; asking changes nothing."""

    def __init__(self, alpha: float = ALPHA, delta: float = DELTA) -> None:
        self.order, self.ledger = PreferenceOrder(), ConfidenceLedger()
        self.habits, self.bound = Habits(), AdvanceBound(alpha, delta)
        self.asked_before = AskedBefore()

    def selected(self, asked: Interaction, said: Selection, offer: Offer | None) -> None:
        """Learn from one answer. `offer`: the vectors of what was picked; None where it had no options."""
        self.habits.answered(said.user_id, skipped=said.hypothesis_id is None and said.free_text is None)
        shown = Shown.of(asked)
        if shown is None:
            return
        self.order.selected(shown.candidates, shown.place(said.hypothesis_id))
        for hypothesis in asked.answer["hypotheses"]:
            self._labelled(asked, hypothesis, picked=hypothesis["id"] == said.hypothesis_id)
        options = _options(asked, said.hypothesis_id)
        picked = options.index(said.option) if said.option in options else None
        self._told(shown, said, picked)
        if offer is not None and picked is not None:
            self.habits.picked(said.user_id, offer, picked)

    def settled(self, asked: Interaction, advance: Advance, offer: Offer | None) -> None:
        """Learn from an undo, and from silence, which weighs less."""
        shown = Shown.of(asked)
        guess = None if shown is None else shown.guess(advance.hypothesis_id)
        if guess is None or offer is None:
            return
        if advance.outcome == "undone":
            self.bound.undone(guess.score)
            self.habits.undone(advance.user_id, offer, guess.option)
        else:
            self.bound.silent(guess.score)
            self.habits.picked(advance.user_id, offer, guess.option, SILENCE_WEIGHT)

    def report(self) -> dict[str, Any]:
        """For people and the console: each calibration, the bound, the weights of the order."""
        return {
            "calibrations": [
                {
                    **{name: value for name, value in asdict(key).items() if name != "tenant"},
                    "labels": self.ledger.confidence(key, 0.5).labels,
                    "judged": asdict(found),
                }
                for key, found in self.ledger.reports().items()
            ],
            "bound": {**asdict(self.bound.bound), "stood_down": self.bound.stood_down},
            "order": {"labels": self.order.labels, "weights": self.order.weights()},
        }

    def snapshot(self) -> dict[str, Any]:
        """All of the state that shows in an answer, in plain values."""
        return {**self.report(), "trust": self.habits.trust(), "asked": self.asked_before.snapshot()}

    def _told(self, shown: Shown, said: Selection, picked: int | None) -> None:
        """A label for the bound, of the one question that could have been assumed: no other is advanced."""
        surest = shown.surest
        if surest is None or surest.guess is None or surest.id != said.hypothesis_id:
            return
        if said.option or said.free_text:
            right = picked == surest.guess.option
            self.bound.answered(surest.guess.score, right, advancing=shown.advancing, audited=shown.audited)

    def _labelled(self, asked: Interaction, hypothesis: Mapping[str, Any], picked: bool) -> None:
        key = calibration_key(asked.tenant, hypothesis["producer"], asked.record)
        self.ledger.observe(key, hypothesis["confidence"]["raw"], picked)
        self.asked_before.shown(asked.user_id, hypothesis["detail"], picked)


def offer_texts(asked: Interaction | None, record: object) -> tuple[str, ...]:
    """The detail that an answer or an advance is about, and its options; empty where there are none."""
    if asked is None or not isinstance(record, Selection | Advance):
        return ()
    options = _options(asked, record.hypothesis_id)
    details = [one["detail"] for one in _shown(asked) if one["id"] == record.hypothesis_id]
    return (*details, *options) if options else ()


def _options(asked: Interaction, hypothesis_id: str | None) -> list[str]:
    return next((list(one["options"]) for one in _shown(asked) if one["id"] == hypothesis_id), [])


def _shown(asked: Interaction) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked.answer.get("hypotheses", [])
    return found
