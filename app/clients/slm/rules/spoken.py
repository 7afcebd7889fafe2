"""Which language a task is spoken in, and its examples: never ask in another one."""

from __future__ import annotations

from app.clients.slm.base import GenerateHypotheses
from app.clients.slm.rules.bags import bag
from app.clients.slm.rules.by_form import VERBS
from app.clients.slm.rules.language import ENGLISH, language, language_of_request
from app.models import Example
from app.text import stem

_VERBS = frozenset(map(stem, VERBS))


def spoken_in(task: GenerateHypotheses) -> str:
    """The language of the request; a few words are English if the examples or our verbs have them."""
    if spoken := language(task.user_input):
        return spoken
    texts = (text for e in task.examples for text in (e.text or "", *(d.question for d in e.details)))
    vocabulary = _VERBS.union(*(bag(text) for text in texts if language(text) == ENGLISH))
    return language_of_request(task.user_input, vocabulary)


def language_of_example(example: Example) -> str:
    """Of its text, or of its questions where the text is not ours to hold."""
    return language(example.text or " ".join(detail.question for detail in example.details))
