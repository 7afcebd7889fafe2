"""Yes or no, asked of a model: which prompts ask it, and how sure the model is of its first token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.clients.slm import instructions, schemas
from app.clients.slm.base import JudgeClarity, ScoreRelevance, UpdateFacets
from app.clients.slm.prompts import PROMPT_TOKENS, Message, Prompt, context_lines, message, turn_lines
from app.clients.slm.quoting import Budget, quoted
from app.clients.slm.shots import clarity_shots
from app.tokens import estimate

YES, NO = "yes", "no"
_ITEM_TOKENS = 160
_QUERY_TOKENS = 400

Item = Mapping[str, object]
Shot = tuple[Item, bool]
"""An item and whether the answer was yes."""

_RELATED: tuple[Shot, ...] = (
    ({"query": "Where does Lea live?", "text": "Lea has a flat in Rome."}, True),
    ({"query": "fix the printer", "text": "Tim likes strawberry cake."}, False),
)


@dataclass(frozen=True, slots=True)
class Decision:
    """One yes-or-no question about each of several items."""

    instruction: str
    word: str
    """What the answer is called where the prompt is plain text."""
    items: tuple[Item, ...]
    shots: tuple[Shot, ...] = ()

    def chat(self, item: Item) -> tuple[Message, ...]:
        """The messages to which the first token of the reply is the answer."""
        turns = []
        for shot, answer in self.shots:
            turns += [message("user", quoted(shot)), message("assistant", YES if answer else NO)]
        return (message("system", self.instruction), *turns, message("user", quoted(item)))

    def rating(self) -> Prompt:
        """All items in one message, for servers that do not tell probabilities."""
        system = message("system", f"{self.instruction}\n{instructions.RATING}")
        user = message("user", quoted({"items": list(self.items)}))
        return Prompt((system, user), "ratings", schemas.ratings(len(self.items)))

    @property
    def ending(self) -> str:
        """Where each plain text stops and the answer is the next token."""
        return f"{self.word}:"

    def plain(self) -> tuple[str, tuple[str, ...]]:
        """The same as plain text, head and items: small models decide better without a chat template."""
        told = "".join(
            f"{_lines(shot)}\n{self.ending} {YES if answer else NO}\n\n" for shot, answer in self.shots
        )
        items = tuple(f"{_lines(item)}\n{self.ending}" for item in self.items)
        return f"{self.instruction}\n\n{told}", items


def clarity(task: JudgeClarity, budget: int = PROMPT_TOKENS) -> Decision:
    """Can the request be carried out as it stands?"""
    room = Budget(budget - estimate(instructions.CLARITY) - 100)
    request = room.text(task.user_input, room.left // 2)
    turns = turn_lines(room, task.conversation)
    context = context_lines(room, task.context)
    shots = clarity_shots(task.examples, task.user_input, room)
    data = {"context": context, "conversation": turns}
    said = {key: value for key, value in data.items() if value}
    return Decision(instructions.CLARITY, "Clear", ({**said, "request": request},), shots)


def relevance(task: ScoreRelevance) -> Decision:
    """Does the candidate help to answer the query?"""
    query = Budget(_QUERY_TOKENS).text(task.query, _QUERY_TOKENS)
    texts = [Budget(_ITEM_TOKENS).text(text, _ITEM_TOKENS) for text in task.candidates]
    items = tuple({"query": query, "text": text} for text in texts)
    return Decision(instructions.RELEVANCE, "Related", items, _RELATED)


def lasting(task: UpdateFacets, names: Sequence[str]) -> Decision:
    """Does the selection tell of a lasting preference about each of `names`?"""
    room = Budget(1200)
    said = {
        "request": room.text(task.input_text, 400),
        "options": room.lines(task.options, 300, 60),
        "selected": room.text(task.selected, 200),
    }
    return Decision(instructions.LASTING, "Lasting", tuple({**said, "matter": name[:200]} for name in names))


def yes_probability(logprobs: Mapping[str, float]) -> float | None:
    """P(yes) against P(no) over the first token's likeliest spellings; None where neither is among them."""
    yes = sum(math.exp(value) for token, value in logprobs.items() if _word(token) == YES)
    no = sum(math.exp(value) for token, value in logprobs.items() if _word(token) == NO)
    return yes / (yes + no) if yes + no > 0 else None


def _lines(item: Item) -> str:
    """A line for each field, its value quoted as in JSON."""
    return "\n".join(f"{key.capitalize()}: {quoted(value)}" for key, value in item.items())


def _word(token: str) -> str:
    return token.strip(" \n\t▁Ġ\"'.").lower()
