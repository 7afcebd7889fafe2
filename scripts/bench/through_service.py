"""The same simulated users against the whole service: its own app in this process, over HTTP.

A user needs the most important details of a request settled. Each round the first question shown that
asks for one of them is answered as the user's habit has it, or it is "none of these". What is assumed for
the user is judged by the option that the user would have picked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app.config import Settings
from app.main import create_app
from app.services.bundle import Services
from app.services.reliability import Reliability, reliability
from app.text import stems
from scripts.bench.advancing import Event
from scripts.bench.simulated_users import IN3, Asked, User

_TENANT = "default"
_NEEDS = 2
_SAME = 0.5
"""Share of all stems from which on a question asks for what a user needs."""
_SETTLED = timedelta(days=1)
_JUDGED_FROM = 500


@dataclass(frozen=True, slots=True)
class Assumed:
    """An answer taken from the persona, and whether its user has habits."""

    has_habits: bool
    wrong: bool


@dataclass
class Outcome:
    events: list[Event] = field(default_factory=list)
    """One for each round: was an answer assumed in it?"""
    assumed: list[Assumed] = field(default_factory=list)
    answered: list[int] = field(default_factory=list)
    """Of each request, in how many rounds the user answered."""
    judged: list[tuple[float, bool]] = field(default_factory=list)

    @property
    def persona_wrong(self) -> float:
        """The share of answers taken from the persona that the user would not have given now."""
        return float(np.mean([one.wrong for one in self.assumed] or [False]))

    def reliability(self) -> Reliability:
        """Of `calibrated` as it was shown once its key had 500 labels; label: the question was picked."""
        return reliability([said for said, _ in self.judged], [label for _, label in self.judged])


@dataclass(frozen=True, slots=True)
class Door:
    """The HTTP calls of a user; `services` only lets time pass and tells whether the bound stands."""

    client: httpx.AsyncClient
    services: Services

    async def ask(self, user_id: str, text: str) -> dict[str, Any]:
        return await self._post("/v1/hypothesize", {"user_id": user_id, "input_text": text})

    async def select(self, request_id: str, hypothesis_id: str | None, option: str | None) -> dict[str, Any]:
        said = {"request_id": request_id, "hypothesis_id": hypothesis_id, "option": option}
        return await self._post("/v1/selections", said)

    async def undo(self, token: str) -> None:
        await self._post("/v1/undo", {"undo_token": token})

    async def let_pass(self) -> None:
        """A day without an undo."""
        await self.services.store.lapse_advances(_TENANT, datetime.now(UTC) + _SETTLED)
        self.services.learned.touched(_TENANT)

    async def stands(self) -> bool:
        """A threshold of auto-advance stands now."""
        return (await self.services.learned.get(_TENANT)).choices.bound.bound.threshold is not None

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        reply = await self.client.post(path, json=body)
        reply.raise_for_status()
        found: dict[str, Any] = reply.json()
        return found


@asynccontextmanager
async def door(folder: Path, alpha: float) -> AsyncIterator[Door]:
    """A service with an empty database in `folder` and IN3 train as its playbook."""
    settings = Settings(
        _env_file=None,
        database_url=f"sqlite:///{folder}/embed.db",
        playbook=str(IN3),
        slm_impl="local",
        auto_advance_alpha=alpha,
        api_keys=(),
    )
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://bench") as client:
            yield Door(client, app.state.services)


class Simulation:
    """Users who come back with their repertoire, in turn at random."""

    def __init__(self, users: Sequence[User], door_: Door, seed: int, taken_back: float = 0.7) -> None:
        """`taken_back`: the share of wrong advances that users notice and undo."""
        self.users, self._door, self._taken_back = list(users), door_, taken_back
        self._rng = np.random.default_rng(seed)
        self._picked: dict[tuple[str, str], Asked] = {}
        self.outcome = Outcome()

    def shift(self) -> None:
        """All habits are drawn anew."""
        self.users = [replace(user, shifts=user.shifts + 1) for user in self.users]

    async def request(self, number: int, user: User) -> None:
        """One request, round by round until what the user needs is settled or nothing is asked any more."""
        task = user.tasks[self._rng.integers(len(user.tasks))]
        needs = list(task.details[:_NEEDS])
        answer: dict[str, Any] | None = await self._door.ask(user.id, task.text)
        rounds, heard = 0, 0
        while answer is not None and answer["hypotheses"] and needs:
            told, needs = await self._round(number, user, answer, needs)
            assumed = [one for one in told["assumptions"] if one["source"] == "persona"]
            needs = self._persona(user, assumed[heard:], needs)
            heard, rounds, answer = len(assumed), rounds + 1, told["next"]
        self.outcome.answered.append(rounds)

    async def _round(
        self, number: int, user: User, answer: dict[str, Any], needs: list[Asked]
    ) -> tuple[dict[str, Any], list[Asked]]:
        shown = {one["id"]: one for one in answer["hypotheses"]}
        wanted = {name: self._wanted(user, _asked(one)) for name, one in shown.items() if one["options"]}
        advance = answer["auto_advance"]
        needs = await self._advance(number, user, shown, wanted, advance, needs)
        taken = None if advance is None else advance["hypothesis_id"]
        open_ = [one for one in shown.values() if one["id"] != taken]
        pick = next((one for one in open_ if any(_meets(one, need) for need in needs)), None)
        self._judge(shown.values(), pick)
        if pick is None:
            return await self._door.select(answer["request_id"], None, None), needs
        option = wanted.get(pick["id"])
        if option is not None:
            self._picked[user.id, option] = _asked(pick)
        told = await self._door.select(answer["request_id"], pick["id"], option)
        return told, [need for need in needs if not _meets(pick, need)]

    def _judge(self, shown: Iterable[dict[str, Any]], pick: dict[str, Any] | None) -> None:
        for one in shown:
            said, labels = one["confidence"]["calibrated"], one["confidence"]["labels"]
            if said is not None and labels >= _JUDGED_FROM:
                self.outcome.judged.append((said, one is pick))

    async def _advance(
        self,
        number: int,
        user: User,
        shown: dict[str, Any],
        wanted: dict[str, str],
        advance: dict[str, Any] | None,
        needs: list[Asked],
    ) -> list[Asked]:
        chances = [user.chances(_asked(one)).max() for one in shown.values() if one["options"]]
        predictable = float(max(chances, default=0.0))
        if advance is None:
            stands = await self._door.stands()
            self.outcome.events.append(Event(number, False, False, 0.0, predictable, not stands))
            return needs
        asked = _asked(shown[advance["hypothesis_id"]])
        wrong = wanted[advance["hypothesis_id"]] != advance["option"]
        if wrong and self._rng.random() < self._taken_back:
            await self._door.undo(advance["undo_token"])
        else:
            await self._door.let_pass()
        risk = 1 - float(user.chances(asked)[asked.options.index(advance["option"])])
        stands = await self._door.stands()
        self.outcome.events.append(Event(number, True, wrong, risk, predictable, not stands))
        return [need for need in needs if not _meets(shown[advance["hypothesis_id"]], need)]

    def _persona(self, user: User, assumed: list[dict[str, Any]], needs: list[Asked]) -> list[Asked]:
        for one in assumed:
            before = self._picked.get((user.id, one["option"]))
            if before is not None:
                now = replace(before, concern=_concern(one["detail"]))
                self.outcome.assumed.append(
                    Assumed(user.fidelity is not None, self._wanted(user, now) != one["option"])
                )
        return [need for need in needs if not any(_meets(one, need) for one in assumed)]

    def _wanted(self, user: User, asked: Asked) -> str:
        return asked.options[int(self._rng.choice(len(asked.options), p=user.chances(asked)))]


async def run(
    users: Sequence[User],
    door_: Door,
    requests: int,
    seed: int,
    *,
    shift_at: int = -1,
    at_once: int | None = None,
) -> Outcome:
    """So many requests by users drawn at random; at request `shift_at` all habits are drawn anew.

    `at_once`: so many of them are there at one time, the first go and new ones come; None: all are.
    """
    simulation, rng = Simulation(users, door_, seed), np.random.default_rng(seed + 1)
    here = at_once or len(users)
    for number in range(requests):
        if number == shift_at:
            simulation.shift()
        first = number * (len(users) - here + 1) // requests
        await simulation.request(number, simulation.users[first + rng.integers(here)])
    return simulation.outcome


def _asked(hypothesis: dict[str, Any]) -> Asked:
    """A question as it was shown, for whom it is a concern by its words."""
    return Asked(
        _concern(hypothesis["detail"]),
        hypothesis["detail"],
        hypothesis["question"],
        float(hypothesis["importance"]),
        tuple(hypothesis["options"]),
    )


def _concern(detail: str) -> str:
    return " ".join(sorted(set(stems(detail))))


def _meets(one: dict[str, Any], need: Asked) -> bool:
    asked, needed = set(stems(one["detail"])), set(need.concern.split())
    return len(asked & needed) >= _SAME * len(asked | needed)
