"""A thread is a session_id: what was asked in it, what was answered, whether it may go on."""

from __future__ import annotations

from dataclasses import dataclass

from app.models import Interaction, Selection
from app.storage.base import Interactions

MAX_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Thread:
    """The rounds of one session so far."""

    rounds: tuple[tuple[Interaction, Selection | None], ...] = ()

    @property
    def next_round(self) -> int:
        return len(self.rounds) + 1

    @property
    def is_over(self) -> bool:
        """After two rounds an assistant that still asks is a nuisance."""
        return len(self.rounds) >= MAX_ROUNDS

    @property
    def last_clarity(self) -> float:
        return float(self.rounds[-1][0].answer.get("clarity", 1.0)) if self.rounds else 1.0

    @property
    def asked(self) -> tuple[str, ...]:
        """Detail and question of everything put so far, and what was typed instead."""
        shown = [
            f"{hypothesis['detail']}: {hypothesis['question']}"
            for interaction, _ in self.rounds
            for hypothesis in interaction.answer.get("hypotheses", ())
        ]
        return tuple(shown)

    @property
    def answers(self) -> tuple[tuple[str, str], ...]:
        """Detail and answer of every selection that gave one; '' is the detail of typed words."""
        found = []
        for interaction, selection in self.rounds:
            if selection is None:
                continue
            detail = _detail(interaction, selection.hypothesis_id)
            if said := selection.option or selection.free_text:
                found.append((detail, said))
        return tuple(found)

    def resolve(self, input_text: str) -> str:
        """The request with what the thread has settled, as one sentence or two."""
        return resolve(input_text, self.answers)


def resolve(input_text: str, settled: tuple[tuple[str, str], ...]) -> str:
    """`build api` and (language, Python) -> `Build api. Language: Python.`"""
    if not settled:
        return input_text
    opening = input_text.strip().rstrip(".")
    parts = [opening[:1].upper() + opening[1:]]
    parts += [f"{_sentence(detail)}: {said}" if detail else said for detail, said in settled]
    return "".join(part if part.endswith(("?", "!", ".")) else f"{part}." for part in _spaced(parts))


async def read_thread(store: Interactions, tenant: str, user_id: str, session_id: str | None) -> Thread:
    """The thread behind a session id; a new one where none is given."""
    if session_id is None:
        return Thread()
    return Thread(tuple(await store.thread(tenant, user_id, session_id)))


def _detail(interaction: Interaction, hypothesis_id: str | None) -> str:
    found = [h["detail"] for h in interaction.answer.get("hypotheses", ()) if h["id"] == hypothesis_id]
    return found[0] if found else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _spaced(parts: list[str]) -> list[str]:
    return [part if place == 0 else f" {part}" for place, part in enumerate(parts)]
