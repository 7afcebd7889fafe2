"""Whatever users say: erasing one leaves a fold of the rest, twice is once, and tenants stay apart."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.clients.slm.base import Call
from app.models import Advance, Interaction
from app.services.bundle import Services
from app.services.hypothesizer import Ask
from app.services.learner import Pick
from app.storage.base import Persona
from app.wiring import open_services
from tests.api.conftest import settings_in

T = TypeVar("T")
USERS = ("ann", "bob")
REQUESTS = ("Plan a trip to Lisbon", "Plan a journey to Rome", "Build an API", "Bake a cake")
WORDS = ("What is your budget?", "green tea", "green teas", "black coffee")
KINDS = ("pick", "pick", "type", "judge", "correct", "choose", "undo", "state", "edit")
Step = tuple[str, str, int, int]
Learned = tuple[str, dict[str, Persona]]

steps = st.lists(
    st.tuples(st.sampled_from(KINDS), st.sampled_from(USERS), st.integers(0, 2), st.integers(0, 3)),
    max_size=9,
)


class World:
    """One service for all examples; each example has tenants of its own."""

    def __init__(self, services: Services, runner: asyncio.Runner) -> None:
        self._services, self._runner, self._names = services, runner, itertools.count()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def tenant(self) -> Tenant:
        return Tenant(self._services, f"t{next(self._names)}")


class Tenant:
    def __init__(self, services: Services, name: str) -> None:
        self._services, self.name, self._numbers = services, name, itertools.count()

    async def play(self, history: list[Step]) -> None:
        for kind, user, place, word in history:
            match kind:
                case "pick" | "type":
                    await self._answer(user, REQUESTS[word], None if kind == "type" else place, WORDS[word])
                case "choose":
                    given = (self.name, user, "Something to drink?", WORDS[1:], WORDS[max(1, word)])
                    await self._services.learner.choose(*given)
                case "state":
                    facets = [(REQUESTS[place], WORDS[word]), ("audience", None if word else "Myself")]
                    await self._services.learner.state(self.name, user, facets)
                case "edit":
                    await self._edit(user, place)
                case _ if (asked := await self._last(user)) is not None:
                    await self._look_back(kind, asked, place, WORDS[word])

    async def _answer(self, user: str, text: str, place: int | None, words: str) -> None:
        shown = await self.ask(user, text)
        hypothesis = None if place is None else shown["hypotheses"][place]
        option = hypothesis["options"][0] if hypothesis and hypothesis["options"] else None
        await self._select(
            Pick(
                shown["request_id"],
                hypothesis["id"] if hypothesis else None,
                option,
                None if option else words,
            )
        )

    async def ask(self, user: str, text: str) -> dict[str, Any]:
        call = Call(self.name, f"r{next(self._numbers)}")
        return await self._services.hypothesizer.hypothesize(Ask(user, text), call)

    async def _select(self, pick: Pick) -> None:
        await self._services.learner.select(pick, Call(self.name, f"r{next(self._numbers)}"))

    async def _last(self, user: str) -> Interaction | None:
        found, _ = await self._services.store.list_interactions(self.name, user, "hypothesize", 1, None)
        return found[0] if found and found[0].answer["hypotheses"] else None

    async def _look_back(self, kind: str, asked: Interaction, place: int, words: str) -> None:
        learner, user = self._services.learner, asked.user_id
        if kind == "undo":
            await learner.undo(self.name, await self._assumed(asked))
            return
        correction = words if kind == "correct" else None
        judged: dict[str, Any] = {"rating": 1 - place, "comment": None, "correction": correction}
        await learner.feed_back(self.name, user, asked.id, **judged, useful=(), not_useful=())

    async def _assumed(self, asked: Interaction) -> str:
        """What a service with enough labels would have assumed."""
        hypothesis, now = asked.answer["hypotheses"][0], datetime.now(UTC)
        option = next(iter(hypothesis["options"]), "Myself")
        token = f"u{next(self._numbers)}"
        of = (token, self.name, asked.user_id, asked.id, hypothesis["id"], option)
        await self._services.store.open_advance(Advance(*of, now, now + timedelta(minutes=9)))
        return token

    async def _edit(self, user: str, place: int) -> None:
        entries, _ = await self._services.playbook_edits.page(self.name, user, 1, None)
        for entry in entries:
            if place:
                await self._services.playbook_edits.weigh(self.name, entry.id, float(place))
            else:
                await self._services.playbook_edits.remove(self.name, entry.id)

    async def again(self) -> None:
        """Every selection once more."""
        for _, said in await self._services.store.iterate_interactions(self.name):
            if said is not None:
                await self._select(Pick(said.request_id, said.hypothesis_id, said.option, said.free_text))

    async def erase(self, user: str) -> None:
        await self._services.privacy.erase(self.name, user)

    async def learned(self) -> Learned:
        """Playbook, order and calibration by their fingerprint, and each persona; all caught up."""
        services = self._services
        for user in USERS:
            await services.persona.learn(self.name, user)  # waits for what is under way
        personas = {user: await services.store.load_persona(self.name, user) for user in USERS}
        return (await services.learned.get(self.name)).fingerprint(), personas

    async def folded(self) -> Learned:
        """The same from nothing but what is stored: by single events, and personas written anew."""
        services = self._services
        assert all([await services.persona.is_folded(self.name, user) for user in USERS])
        for user in USERS:
            await services.learner.refold(self.name, user)
        personas = {user: await services.store.load_persona(self.name, user) for user in USERS}
        return (await services.learned.refolded(self.name, page=1)).fingerprint(), personas

    async def answers(self) -> list[Any]:
        """What its users are shown, but for the drawn order, ids and times."""
        said: list[Any] = []
        for user, text in itertools.product(USERS, REQUESTS):
            shown = await self.ask(user, text)
            kept = ("question", "statement", "importance", "options", "confidence")
            said.append(sorted(str([one[name] for name in kept]) for one in shown["hypotheses"]))
            said += [shown["clarity"], shown["auto_advance"], shown["context"]["facets"]]
            ranked, producer = await self._services.persona.rank(self.name, user, text, WORDS)
            said += [producer, *((one.index, one.score) for one in ranked)]
        return said


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("world")
    with asyncio.Runner() as runner:
        opened = open_services(settings_in(folder, playbook="none"))
        yield World(runner.run(opened.__aenter__()), runner)
        runner.run(opened.__aexit__(None, None, None))


@given(steps)
@settings(max_examples=8, deadline=None)
def test_erasing_a_user_leaves_a_fold_over_what_remains(world: World, history: list[Step]) -> None:
    async def check(tenant: Tenant) -> None:
        await tenant.play(history)
        _, before = await tenant.learned()
        await tenant.erase("ann")
        after = await tenant.learned()
        assert after == await tenant.folded()
        assert after[1] == before | {"ann": Persona((), 0)}

    world.run(check(world.tenant()))


@given(steps)
@settings(max_examples=8, deadline=None)
def test_learning_twice_is_learning_once(world: World, history: list[Step]) -> None:
    async def check(tenant: Tenant) -> None:
        await tenant.play(history)
        once = await tenant.learned()
        await tenant.again()
        assert await tenant.learned() == once
        assert await tenant.folded() == once

    world.run(check(world.tenant()))


@given(steps, steps)
@settings(max_examples=8, deadline=None)
def test_what_one_tenant_says_changes_no_answer_of_another(
    world: World, first: list[Step], then: list[Step]
) -> None:
    async def check(tenant: Tenant, other: Tenant) -> None:
        await tenant.play(first)
        learned = await tenant.learned()
        answers = await tenant.answers()
        await other.play(then)
        await other.erase("bob")
        assert await tenant.answers() == answers
        assert await tenant.learned() == learned

    world.run(check(world.tenant(), world.tenant()))


def test_a_persona_differs_where_a_record_differs(world: World) -> None:
    """The comparisons above can fail."""

    async def check(tenant: Tenant, other: Tenant) -> None:
        await tenant.play([("choose", "ann", 0, 1)])
        await other.play([("choose", "ann", 0, 2)])
        (one,), (two,) = [(await each.learned())[1]["ann"].facets for each in (tenant, other)]
        assert replace(one, value="") != replace(two, value="")
        assert (one.value, two.value) == WORDS[1:3]

    world.run(check(world.tenant(), world.tenant()))
