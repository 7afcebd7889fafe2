"""JudgeClarity by rule: were requests like this one clear, and how much does this one say?"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from app.clients.slm.base import JudgeClarity
from app.models import Example
from app.text import stems, words

_ASKING = re.compile(
    r"^(?:what|who|whom|whose|where|when|why|which|how|is|are|was|were|does|did|do)\b", re.IGNORECASE
)
_QUOTED = re.compile(r"[“\"][^”\"]+[”\"]|(?<!\w)'[^']+'(?!\w)")
_NAME = re.compile(r"(?<=[a-z,] )[A-Z][\w-]+")
_FIRST_PERSON = re.compile(r"\b(?:i|me|my|we|our|i'm|i'd|i've)\b", re.IGNORECASE)
_JUDGEMENT = re.compile(
    r"\b(?:best|top|good|great|latest|popular|cheap\w*|\w+est|recommend\w*|suggest\w*)\b", re.IGNORECASE
)

FEATURES = (
    "clear_share", "clear_nearest", "nearest", "length", "asks", "short_question", "numbers", "quotes",
    "names", "first_person", "judgement", "told",
)  # fmt: skip
WEIGHTS = (6.238, -0.592, -0.44, -0.184, -0.034, 1.311, 0.626, 1.153, 1.069, -0.466, -0.44, -1.716)
BIAS = 0.316
"""A logistic regression on FEATURES, both classes weighing the same, so that 0.5 is the border.
Fitted by scripts/fit_clarity.py: every entry of the shipped playbook judged by the others."""

NOTHING_SAID = 0.01
"""The clarity of a request without one word of content: nothing can be done yet."""


def judge(task: JudgeClarity) -> float:
    """0..1; below 0.5 the request needs clarification."""
    if not (task.conversation or task.context or _says_something(task.user_input)):
        return NOTHING_SAID
    found = features(task.user_input, task.examples)
    linear = BIAS + sum(weight * x for weight, x in zip(WEIGHTS, found, strict=True))
    answered = sum(turn.role != "assistant" for turn in task.conversation) + len(task.context)
    return round(1 / (1 + math.exp(-(linear + 0.5 * min(4, answered)))), 4)


def _says_something(request: str) -> bool:
    """Whether a word is left that is neither a stop word nor a single letter or digit."""
    return any(len(stem) > 1 or not stem.isascii() for stem in stems(request))


def features(request: str, examples: Sequence[Example]) -> tuple[float, ...]:
    """In the order of FEATURES. Learned examples tell nothing here: all of them were vague."""
    examples = [example for example in examples if example.origin == "shipped"]
    length = len(words(request))
    weights = [example.similarity**3 for example in examples]
    clear = [weight for weight, example in zip(weights, examples, strict=True) if not example.vague]
    asks = bool(_ASKING.match(request.strip()))
    return (
        sum(clear) / (sum(weights) or 1.0),
        float(bool(examples) and not examples[0].vague),
        max((example.similarity for example in examples), default=0.0),
        math.log1p(length),
        float(asks),
        float(asks and length < 12),
        float(bool(re.search(r"\d", request))),
        float(bool(_QUOTED.search(request))),
        min(4, len(_NAME.findall(request))) / 4,
        float(bool(_FIRST_PERSON.search(request))),
        float(bool(_JUDGEMENT.search(request))),
        len(set(stems(request))) / max(1, length),
    )
