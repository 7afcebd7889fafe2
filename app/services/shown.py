"""What was known of each question when it was shown: kept with the request, and never worked out again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from app.models import Interaction
from app.services.calibration import CalibrationKey
from app.services.preference_order import Candidate

SCORER_VERSION = "logit-1"
"""Changes when the same history would give another raw score: calibrations belong to it."""


@dataclass(frozen=True, slots=True)
class Guess:
    """The option that this user was thought to pick: its place, and what was held against the threshold."""

    option: int
    score: float


@dataclass(frozen=True, slots=True)
class ShownQuestion:
    id: str
    candidate: Candidate
    value: float
    """By which the slate was ordered, before chance had its part."""
    guess: Guess | None
    """None where there was no option to guess, or no vector."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One slate, in the order shown."""

    questions: tuple[ShownQuestion, ...]
    log_propensity: float
    """The natural logarithm of the chance that these came in just this order."""
    advancing: bool
    """Did a threshold of auto-advance stand then?"""
    audited: bool

    @classmethod
    def of(cls, asked: Interaction) -> Shown | None:
        """None for a request from before all this was kept, or one that showed nothing."""
        kept = asked.record.get("shown")
        if not kept or not kept["questions"]:
            return None
        questions = tuple(_question(one) for one in kept["questions"])
        return cls(questions, kept["log_propensity"], kept["advancing"], kept["audited"])

    @property
    def candidates(self) -> list[Candidate]:
        return [one.candidate for one in self.questions]

    def place(self, hypothesis_id: str | None) -> int | None:
        """Where it stood, from 0."""
        found = (place for place, one in enumerate(self.questions) if one.id == hypothesis_id)
        return next(found, None)

    def guess(self, hypothesis_id: str | None) -> Guess | None:
        place = self.place(hypothesis_id)
        return None if place is None else self.questions[place].guess

    @property
    def surest(self) -> ShownQuestion | None:
        """The question whose answer would be assumed before any other's; the first of equals."""
        guessed = [one for one in self.questions if one.guess is not None]
        return max(guessed, key=lambda one: one.guess.score if one.guess else 0.0, default=None)

    def kept(self) -> dict[str, Any]:
        """JSON types, to be kept as `record["shown"]`."""
        plain = asdict(self)
        return {**plain, "questions": list(plain["questions"])}


def calibration_key(tenant: str, producer: str, record: Mapping[str, Any]) -> CalibrationKey:
    """The key of a hypothesis by `producer`, shown with a request that has this record.

    One that the playbook added to a model's answers depends on the rules alone, but is another score
    than where it competes with none.
    """
    if producer != record.get("backend"):
        return CalibrationKey(tenant, producer, "", None, "", SCORER_VERSION)
    return CalibrationKey(
        tenant, producer, record["model"], record["adapter"], record["prompt_version"], SCORER_VERSION
    )


def _question(kept: Mapping[str, Any]) -> ShownQuestion:
    guess = kept["guess"]
    return ShownQuestion(
        kept["id"], Candidate(**kept["candidate"]), kept["value"], None if guess is None else Guess(**guess)
    )
