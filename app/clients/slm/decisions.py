"""Yes or no, asked of a model: which prompts ask it, and how sure the model is of its first token."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.clients.slm import instructions, schemas
from app.clients.slm.base import JudgeClarity, ScoreRelevance, UpdateFacets
from app.clients.slm.prompts import PROMPT_TOKENS, Message, Prompt, message
from app.clients.slm.quoting import Budget, quoted
from app.clients.slm.shots import clarity_shots
from app.tokens import estimate

YES, NO = "yes", "no"
_ITEM_TOKENS = 160
_QUERY_TOKENS = 400


@dataclass(frozen=True, slots=True)
class Decision:
    """One yes-or-no question about each of several items."""

    instruction: str
    shots: tuple[Message, ...]
    items: tuple[str, ...]
    """Each the JSON of a user message, in the order of the answers."""

    def chat(self, item: str) -> tuple[Message, ...]:
        """The messages to which the first token of the reply is the answer."""
        return (message("system", self.instruction), *self.shots, message("user", item))

    def rating(self) -> Prompt:
        """All items in one message, for servers that do not tell probabilities."""
        system = message("system", f"{self.instruction}\n{instructions.RATING}")
        user = message("user", f'{{"items": [{", ".join(self.items)}]}}')
        return Prompt((system, user), "ratings", schemas.ratings(len(self.items)))

    def plain(self) -> tuple[str, tuple[str, ...]]:
        """The same as plain text, head and items, for a read of the next token without a chat template."""
        pairs = zip(self.shots[::2], self.shots[1::2], strict=True)
        told = "".join(f"Input: {asked['content']}\nAnswer: {said['content']}\n\n" for asked, said in pairs)
        items = tuple(f"Input: {item}\n{PLAIN_END}" for item in self.items)
        return f"{self.instruction}\n\n{told}", items


PLAIN_END = "Answer:"


def clarity(task: JudgeClarity, budget: int = PROMPT_TOKENS) -> Decision:
    """Can the request be carried out as it stands?"""
    room = Budget(budget - estimate(instructions.CLARITY) - 60)
    request = room.text(task.user_input, room.left // 2)
    turns = room.lines((f"{turn.role}: {turn.content}" for turn in reversed(task.conversation)), 300)[::-1]
    context = room.lines((f"{key}: {value}" for key, value in task.context.items()), 300)
    shots = clarity_shots(task.examples, task.user_input, room)
    data = {"context": context, "conversation": turns}
    said = {key: value for key, value in data.items() if value}
    return Decision(instructions.CLARITY, shots, (quoted({**said, "request": request}),))


def relevance(task: ScoreRelevance) -> Decision:
    """Does the candidate help to answer the query?"""
    query = Budget(_QUERY_TOKENS).text(task.query, _QUERY_TOKENS)
    texts = [Budget(_ITEM_TOKENS).text(text, _ITEM_TOKENS) for text in task.candidates]
    return Decision(
        instructions.RELEVANCE, (), tuple(quoted({"query": query, "text": text}) for text in texts)
    )


def lasting(task: UpdateFacets, names: Sequence[str]) -> Decision:
    """Does the selection tell of a lasting preference about each of `names`?"""
    room = Budget(1200)
    said = {
        "request": room.text(task.input_text, 400),
        "options": room.lines(task.options, 300, 60),
        "selected": room.text(task.selected, 200),
    }
    return Decision(instructions.LASTING, (), tuple(quoted({**said, "matter": name[:200]}) for name in names))


def yes_probability(logprobs: Mapping[str, float]) -> float | None:
    """P(yes) against P(no) over the first token's likeliest spellings; None where neither is among them."""
    yes = sum(math.exp(value) for token, value in logprobs.items() if _word(token) == YES)
    no = sum(math.exp(value) for token, value in logprobs.items() if _word(token) == NO)
    return yes / (yes + no) if yes + no > 0 else None


def _word(token: str) -> str:
    return token.strip(" \n\t▁Ġ\"'.").lower()
