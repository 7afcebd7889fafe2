"""Questions from the form of a request alone, for what no example speaks of.

There is no table of subjects here. A request that has something made leaves open what it must do, who
it is for, what it is made with; one that has something found, by what to choose; one that has
something taught, where the learner stands; and each what it gives no number, date or reason for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.clients.slm.rules.request import Request

_VERBS = {
    "make": """build make create write develop design implement code draw draft generate compose prepare""",
    "find": """find search recommend suggest list compare choose pick get look buy book order show""",
    "teach": """teach explain learn guide describe tell understand instruct""",
    "mend": """fix repair solve debug improve optimize optimise update upgrade clean change refactor""",
    "arrange": """plan organize organise arrange schedule host deploy install move start run""",
}
VERBS = frozenset(["help", *(verb for verbs in _VERBS.values() for verb in verbs.split())])
"""What English requests begin with."""
_INTENT = {verb: intent for intent, verbs in _VERBS.items() for verb in verbs.split()}


@dataclass(frozen=True, slots=True)
class Open:
    """Something that the form of a request leaves open."""

    topic: str
    question: str
    importance: int
    options: tuple[str, ...] = ()


def open_points(text: str) -> list[Open]:
    """What this request leaves open by its form, the weightiest first; never the same topic twice."""
    request = Request.read(text)
    thing = f"the {request.object}" if request.object else "it"
    points = [*_subject(request), *_by_verb(request.verb, thing), *_circumstances(text, thing)]
    return list({point.topic: point for point in reversed(points)}.values())[::-1]


def _subject(request: Request) -> list[Open]:
    if request.object or len(request.actions) > 1:
        return []
    if request.verb in _INTENT:
        return [Open("subject", f"What exactly do you want to {request.verb}?", 3)]
    return [Open("subject", "What would you like to have done?", 3)]


def _by_verb(verb: str, thing: str) -> list[Open]:
    match _INTENT.get(verb):
        case "make":
            return [
                Open("contents", f"What must {thing} do or contain?", 3),
                Open(
                    "language, tools or materials",
                    f"Which language, tools or materials should {thing} use?",
                    3,
                ),
                Open("audience", f"Who is {thing} for?", 2, ("Only me", "My team", "The public")),
                Open("limits", f"Are there any limits that {thing} must keep to?", 2),
            ]
        case "find":
            return [
                Open("criteria for the choice", "What matters most to you in the choice?", 3),
                Open("number of results", "How many results would you like?", 1, ("One", "Three", "Ten")),
            ]
        case "teach":
            knowing = ("Nothing yet", "The basics", "A good deal")
            return [
                Open("present knowledge", f"What do you know about {thing} already?", 3, knowing),
                Open("aim", "What do you want to be able to do afterwards?", 2),
            ]
        case "mend":
            return [
                Open("present state", f"What is wrong with {thing} as it is now?", 3),
                Open("earlier attempts", "What have you tried so far?", 2),
                Open("wanted state", f"How will you know that {thing} is right?", 2),
            ]
        case _:
            return []


def _circumstances(text: str, thing: str) -> list[Open]:
    points = []
    if not re.search(r"\b(?:so that|because|in order to|so (?:i|we) can)\b", text, re.IGNORECASE):
        points.append(Open("purpose", f"What is {thing} for?", 2))
    if not re.search(r"\bfor (?:my|our|a|the|[A-Z])\w*", text):
        points.append(Open("audience", "Who is it for?", 2, ("Myself", "People I know", "The public")))
    if not re.search(r"\b(?:format|file|table|list|pdf|page|words?)\b", text, re.IGNORECASE):
        points.append(Open("form of the result", "In what form would you like the answer?", 2))
    if not re.search(r"\b(?:by|until|before|today|tomorrow|week|month|year|\d{4})\b", text, re.IGNORECASE):
        points.append(Open("time frame", "When do you need it?", 1, ("Today", "This week", "No hurry")))
    if not re.search(r"\b(?:short|brief|detail\w*|depth|thorough\w*|overview)\b", text, re.IGNORECASE):
        points.append(
            Open("depth", "How much detail do you want?", 1, ("An overview", "Step by step", "In depth"))
        )
    return points
