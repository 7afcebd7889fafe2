"""The conductor of an adapter's way: registered, gated or rejected, on trial, live, taken back.

What a person or a finished training run asks for is here; what figures decide, in app/services/canaries.py.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from app.errors import Conflict, InvalidInput, NotFound
from app.models import Adapter, AdapterMove, AdapterState, Experiment
from app.services.adapter_facts import same_base
from app.services.gates import GateReport
from app.services.training.lineage import lineage_beside
from app.services.training.paths import confined, folder_of
from app.storage.base import Adapters, Experiments

LEAST_SHARE, MOST_SHARE = 0.05, 0.5
"""Of the users may get a candidate: with fewer nothing is ever known, with more it is no trial."""
_LIVE: frozenset[AdapterState] = frozenset({"live"})
_RETIRED: frozenset[AdapterState] = frozenset({"retired"})
_ON_TRIAL: frozenset[AdapterState] = frozenset({"loaded", "canary"})
_PASSED: frozenset[AdapterState] = frozenset({"gated", "loaded"})
_SHOWN: frozenset[AdapterState] = frozenset({"canary", "retired"})
EXAMINED: frozenset[AdapterState] = frozenset({"registered", "gated", "rejected"})
"""From where the gates may judge it, for the first time or again."""
_PAST_GATES: frozenset[AdapterState] = frozenset({"registered", "rejected", "rolled_back"})
"""From where an adapter goes on only by force; from tainted it never does."""


class Store(Adapters, Experiments, Protocol):
    """Of the store, what this conductor moves."""


class Publisher(Protocol):
    """app.services.adapters.AdapterRegistry."""

    async def publish(
        self, source: Path, *, tenant: str, task: str, lineage: Mapping[str, Any], users: Sequence[str]
    ) -> Adapter: ...


@dataclass(frozen=True, slots=True)
class Tracked:
    """An adapter and how it came to where it is."""

    adapter: Adapter
    moves: Sequence[AdapterMove]


class Promotion:
    """Each change is one compare-and-set of the store; Conflict where another was quicker."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        outputs: Path,
        *,
        datasets: Path | None = None,
        alpha: float = 0.05,
        share: float = 0.2,
        base_model: str | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`outputs`: where trained adapters stand, a directory for each tenant; `datasets` as they were made.

        `alpha`: the chance that a trial promotes what is no better; `share` of the users get a candidate.
        Both where whoever starts the trial names none. `base_model`: what is served; adapters of another
        never go on. None: any.
        """
        self._base_model = base_model
        self._store, self._publisher, self._outputs = store, publisher, outputs
        self._datasets = datasets or outputs / "datasets"
        self._alpha, self._share, self._now = alpha, share, now

    async def adapters(self, tenant: str, task: str | None = None) -> list[Adapter]:
        """Oldest first."""
        return await self._store.list_adapters(tenant, task)

    async def track(self, tenant: str, name: str) -> Tracked:
        """Raises NotFound."""
        return Tracked(await self._get(tenant, name), await self._store.adapter_moves(tenant, name))

    async def register(
        self,
        tenant: str,
        directory: Path,
        task: str,
        lineage: Mapping[str, Any],
        users: Sequence[str] = (),
    ) -> Adapter:
        """Copy it to the shelf under a name made of its content; the same again is the same adapter.

        `users`: whose records it was trained on, as the training files write them. InvalidInput for what
        the servers would not load, with the reason; Conflict where another tenant has it.
        """
        return await self._publisher.publish(
            directory, tenant=tenant, task=task, lineage=lineage, users=users
        )

    async def register_named(self, tenant: str, said: str, task: str, lineage: Mapping[str, Any]) -> Adapter:
        """The same for a directory that a caller names; InvalidInput for one that is not this tenant's.

        Its users are those of the dataset that its card names. Conflict where one was erased from that.
        """
        directory = confined(said, self._outputs / folder_of(tenant), "path")
        found = await asyncio.to_thread(lineage_beside, directory, self._datasets, tenant)
        adapter = await self.register(tenant, directory, task, {**lineage, **found.told}, found.users)
        try:
            await asyncio.to_thread(lineage_beside, directory, self._datasets, tenant)
        except Conflict as error:
            # The erasure came between the first look and the row, which it has not seen.
            await self.taint(tenant, adapter.name, error.detail)
            raise
        return adapter

    async def gate(self, tenant: str, name: str, report: GateReport) -> Adapter:
        """Keep the figures; gated where every gate was passed, else rejected with the reason."""
        after: AdapterState = "gated" if report.passed else "rejected"
        return await self._store.move_adapter(
            tenant,
            name,
            after,
            allowed=EXAMINED,
            at=self._now(),
            reason=report.reason or "passed every gate",
            gates=report.body(),
        )

    async def unexamined(self, tenant: str, name: str, why: str) -> Adapter:
        """Write into its history that it could not be judged; it stays where it is."""
        adapter = await self._get(tenant, name)
        return await self._move(adapter, adapter.state, why) if adapter.state in EXAMINED else adapter

    async def start_canary(
        self,
        tenant: str,
        name: str,
        share: float | None = None,
        *,
        forced: bool = False,
        alpha: float | None = None,
    ) -> Experiment:
        """Load it, then shadow, then `share` of the users; the experiment, in its shadow phase.

        `forced` lets pass what the gates did not, and is written into the adapter's history. Conflict for
        an adapter that may not, and while another trial of this tenant and task runs.
        """
        share = self._share if share is None else share
        if not LEAST_SHARE <= share <= MOST_SHARE:
            raise InvalidInput(f"share: between {LEAST_SHARE} and {MOST_SHARE}")
        adapter = await self._get(tenant, name)
        self._refuse(adapter, _PASSED, forced=forced)
        if await self._trial(tenant, adapter.task) is not None:
            raise Conflict(f"another trial of {adapter.task} runs")
        reason = "on trial, forced past the gates" if forced else "on trial"
        live = await self._live(tenant, adapter.task)
        if live is not None and not self._fits(live):
            raise Conflict(f"{live.name} is live, trained for another base model: roll it back first")
        experiment = Experiment(
            id=uuid.uuid4().hex,
            tenant=tenant,
            task=adapter.task,
            control=live.name if live else None,
            candidate=name,
            phase="shadow",
            share=share,
            alpha=self._alpha if alpha is None else alpha,
            verdict="running",
            reason=reason,
            started_at=self._now(),
        )
        await self._store.add_experiment(experiment, load_from=adapter.state)
        return experiment

    async def taint(self, tenant: str, name: str, reason: str) -> Adapter:
        """Never to be used again; what it was trained on is no more."""
        return await self._move(await self._get(tenant, name), "tainted", reason)

    async def promote(self, tenant: str, name: str, *, forced: bool = False) -> Adapter:
        """Live at once, by hand; what was live is retired and its trials end at the next tick."""
        adapter = await self._get(tenant, name)
        if adapter.state == "live":
            return adapter
        self._refuse(adapter, _PASSED | _SHOWN, forced=forced)
        return await self._move(adapter, "live", "by hand, forced" if forced else "by hand")

    async def rollback(self, tenant: str, task: str, name: str | None = None) -> Adapter | None:
        """Take back what is live, or the trial of `name`; what is live now, None for the base model.

        After a live one comes the one that was live before it. Conflict where `name` is neither live nor on
        trial, so that the same said twice takes back one; and where nothing is live.
        """
        live = await self._live(tenant, task)
        taken = await self._get(tenant, name) if name is not None else live
        if taken is None:
            raise Conflict(f"no adapter is live for {task}")
        if taken.task == task and taken.state in _ON_TRIAL:
            await self._move(taken, "rolled_back", "by hand")
            return live
        if live is None or taken.name != live.name:
            raise Conflict(f"{taken.name} is {taken.state}, neither live for {task} nor on trial")
        return await self._restore(live)

    async def _restore(self, taken: Adapter) -> Adapter | None:
        """One of them is live at every moment, where there are two."""
        before = await self._before(taken)
        if before is None:
            await self._move(taken, "rolled_back", "by hand")
            return None
        return await self._move(before, "live", f"{taken.name} was taken back", instead_of=taken.name)

    def _refuse(self, adapter: Adapter, allowed: frozenset[AdapterState], *, forced: bool) -> None:
        if not self._fits(adapter):
            raise Conflict(f"{adapter.name} was trained for another base model: {adapter.base_model}")
        if adapter.state in allowed or (forced and adapter.state in _PAST_GATES | _SHOWN):
            return
        raise Conflict(f"{adapter.name} is {adapter.state}: only {', '.join(sorted(allowed))} may go on")

    def _fits(self, adapter: Adapter) -> bool:
        return self._base_model is None or same_base(adapter.base_model, self._base_model)

    async def _before(self, live: Adapter) -> Adapter | None:
        """What was live last, of this base model; what is tainted or rolled back is not retired."""
        found = await self._store.list_adapters(live.tenant, live.task, _RETIRED)
        retired = [one for one in found if self._fits(one)]
        last = [(await self._store.adapter_moves(live.tenant, one.name))[-1].at for one in retired]
        return max(zip(last, retired, strict=True), key=lambda pair: pair[0])[1] if retired else None

    async def _move(
        self, adapter: Adapter, after: AdapterState, reason: str, instead_of: str | None = None
    ) -> Adapter:
        """From where it was seen, and from nowhere else."""
        return await self._store.move_adapter(
            adapter.tenant,
            adapter.name,
            after,
            allowed=(adapter.state,),
            at=self._now(),
            reason=reason,
            instead_of=instead_of,
        )

    async def _get(self, tenant: str, name: str) -> Adapter:
        found = await self._store.get_adapter(tenant, name)
        if found is None:
            raise NotFound(f"there is no adapter {name}")
        return found

    async def _live(self, tenant: str, task: str) -> Adapter | None:
        found = await self._store.list_adapters(tenant, task, _LIVE)
        return found[0] if found else None

    async def _trial(self, tenant: str, task: str) -> Experiment | None:
        running = await self._store.list_experiments(tenant, "running")
        return next((one for one in running if one.task == task), None)
