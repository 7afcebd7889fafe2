"""One replica, kept to what it is to serve: missing adapters loaded and tried, others taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from app.clients.slm.base import AdapterHost
from app.errors import BackendAnswerInvalid, BackendError, BackendTimeout, UnknownAdapter
from app.models import Adapter

T = TypeVar("T")
Phase = Literal["pending", "loading", "verified", "failed"]
"""verified: listed by the replica, and it answered a token by it since it was last seen to be up."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    every: float = 5.0
    """Between two looks at a replica."""
    asking: float = 10.0
    """For its list of adapters."""
    loading: float = 180.0
    """For one adapter: loaded, listed, tried."""
    longest_rest: float = 300.0
    """After what failed again and again."""
    grace: float = 60.0
    """That an adapter stays after it left service: requests are under way."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one adapter stands on one replica."""

    replica: str
    adapter: str
    phase: Phase = "pending"
    error: str = ""
    """Why it failed last; "" once it is verified."""
    failures: int = 0
    """In a row."""
    not_before: float = 0.0
    """When it is tried again, by the clock."""


class Keeper:
    """Of one replica. `up` and the phases always change together, so that nobody sees half of it."""

    def __init__(
        self,
        host: AdapterHost,
        timing: Timing,
        clock: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`changed` is called whenever a phase is another one."""
        self.host, self._timing, self._clock, self._changed = host, timing, clock, changed
        self.up = False
        self.detail = "not asked yet"
        """Why it is not up."""
        self.asked = asyncio.Event()
        """Set: look now."""
        self._standings: dict[str, Standing] = {}
        self._leaving: dict[str, float] = {}
        self._turn = asyncio.Lock()

    def standings(self) -> list[Standing]:
        return [self._standings[name] for name in sorted(self._standings)]

    def has(self, name: str) -> bool:
        """Verified, on a replica that is up."""
        return self.up and name in self._standings and self._standings[name].phase == "verified"

    def missed(self, name: str) -> None:
        """A call was told that there is no such adapter: it is to be verified anew, at once."""
        standing = self._standings.get(name)
        if standing is not None and standing.phase == "verified":
            self._set(replace(standing, phase="pending", error="a call did not find it"))
            self.asked.set()

    def hurry(self) -> None:
        """Look now, and rest no longer after what failed."""
        self._standings = {name: replace(one, not_before=0.0) for name, one in self._standings.items()}
        self.asked.set()

    async def tend(
        self, wanted: Mapping[str, Adapter], unwanted: Collection[str], refused: Mapping[str, str]
    ) -> None:
        """One look and what follows from it. Of names in none of the three it knows nothing.

        `refused`: why not, by name; they are taken away as well.
        """
        async with self._turn:
            try:
                loaded = set(await _within(self._timing.asking, self.host.loaded()))
            except BackendError as error:
                self._went(error.detail)
                return
            self._came(wanted, loaded)
            self._standings |= {
                name: Standing(self.host.url, name, "failed", why) for name, why in refused.items()
            }
            for adapter in wanted.values():
                if self._is_due(adapter.name):
                    await self._bring(adapter, adapter.name in loaded)
            await self._take_away(loaded.intersection((*unwanted, *refused)))

    def _went(self, detail: str) -> None:
        """It may come back without any adapter, hence none is verified any more."""
        self.up, self.detail = False, detail
        for standing in self.standings():
            self._set(replace(standing, phase="pending"))

    def _came(self, wanted: Mapping[str, Adapter], loaded: Collection[str]) -> None:
        self._standings = {name: one for name, one in self._standings.items() if name in wanted}
        for name in wanted:
            standing = self._standings.setdefault(name, Standing(self.host.url, name))
            if standing.phase == "verified" and name not in loaded:
                self._set(replace(standing, phase="pending", error="the replica lost it"))
        self.up, self.detail = True, ""
        self._changed()

    def _is_due(self, name: str) -> bool:
        standing = self._standings[name]
        return standing.phase != "verified" and standing.not_before <= self._clock()

    async def _bring(self, adapter: Adapter, is_loaded: bool) -> None:
        standing = self._standings[adapter.name]
        self._set(replace(standing, phase="loading"))
        try:
            await _within(self._timing.loading, self._load(adapter, is_loaded))
        except (BackendError, UnknownAdapter) as error:
            failures = standing.failures + 1
            rest = min(self._timing.every * 2 ** min(failures, 30), self._timing.longest_rest)
            not_before = self._clock() + rest
            self._set(replace(standing, phase="failed", error=error.detail, failures=failures,
                              not_before=not_before))  # fmt: skip
        else:
            self._set(Standing(self.host.url, adapter.name, "verified"))

    async def _load(self, adapter: Adapter, is_loaded: bool) -> None:
        if not is_loaded:
            await self.host.load(adapter)
            if adapter.name not in await self.host.loaded():
                raise BackendAnswerInvalid(f"{self.host.url} took {adapter.name}, but does not list it.")
        await self.host.canary(adapter.name)

    async def _take_away(self, unwanted: Collection[str]) -> None:
        now = self._clock()
        self._leaving = {name: self._leaving.get(name, now) for name in unwanted}
        for name in [name for name, since in self._leaving.items() if now - since >= self._timing.grace]:
            try:
                await _within(self._timing.asking, self.host.unload(name))
            except BackendError as error:
                self.detail = error.detail
            else:
                del self._leaving[name]

    def _set(self, standing: Standing) -> None:
        self._standings[standing.adapter] = standing
        self._changed()


async def _within(seconds: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as error:
        raise BackendTimeout(f"no answer within {seconds:.0f} s") from error
