"""Stops asking a backend that does not answer, so that nobody waits for it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from app.clients.slm.base import Call, Completion, GenerateHypotheses, R, SLMClient, Task
from app.clients.slm.wrappers.base import Event, Wrapper
from app.clients.slm.wrappers.closing import closing
from app.errors import BackendOverloaded, BackendTimeout, BackendUnavailable, ServiceError

log = logging.getLogger(__name__)

State = Literal["closed", "open", "half-open"]


class Breaker(Wrapper):
    """Opens after `failures` in a row, rests, then lets one call through to see.

    Transport errors, 5xx and timeouts count. Broken JSON, a rejected request and an unknown adapter do
    not: a backend that says no is alive. Each rest in a row is twice as long, up to `longest_rest`.
    It says once that it opens and once that it closes, by the error's slug: details can quote a user.
    """

    def __init__(
        self,
        inner: SLMClient,
        *,
        failures: int = 3,
        rest: float = 5.0,
        longest_rest: float = 60.0,
        patience: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Rests in seconds. A timeout after less than `patience` seconds says nothing of the backend."""
        super().__init__(inner)
        self._threshold = failures
        self._rest = rest
        self._longest = longest_rest
        self._patience = patience
        self._clock = clock
        self._failed = 0
        self._opened: float | None = None
        self._next_rest = rest
        self._probing = False

    @property
    def state(self) -> State:
        if self._opened is None:
            return "closed"
        return "half-open" if self._clock() >= self._opened + self._next_rest else "open"

    async def run(self, task: Task[R], call: Call) -> Completion[R]:
        with self._watched():
            return await self.inner.run(task, call)

    async def stream(self, task: GenerateHypotheses, call: Call) -> AsyncIterator[Event]:
        with self._watched():
            async with closing(self.inner.stream(task, call)) as events:
                async for event in events:
                    yield event

    @contextmanager
    def _watched(self) -> Iterator[None]:
        probing = self._enter()
        started = self._clock()
        try:
            yield
        except (BackendUnavailable, BackendTimeout) as error:
            hurried = isinstance(error, BackendTimeout) and self._clock() - started < self._patience
            if not hurried:
                self._fail(probing, error)
            raise
        except ServiceError:
            self._succeed()
            raise
        else:
            self._succeed()
        finally:
            if probing:
                self._probing = False

    def _enter(self) -> bool:
        """Whether this call is the one that finds out if the backend is back."""
        if self.state == "closed":
            return False
        if self.state == "open" or self._probing:
            raise BackendOverloaded(f"The backend {self.name!r} rests after {self._failed} failures.")
        self._probing = True
        return True

    def _fail(self, probing: bool, error: ServiceError) -> None:
        self._failed += 1
        if probing:
            self._next_rest = min(self._longest, self._next_rest * 2)
            self._opened = self._clock()
        elif self._opened is None and self._failed >= self._threshold:
            self._next_rest = self._rest
            self._opened = self._clock()
            said = "backend %s rests for %.0f s after %d failures: %s"
            log.warning(said, self.name, self._rest, self._failed, error.slug)

    def _succeed(self) -> None:
        if self._opened is not None:
            log.warning("backend %s answers again", self.name)
        self._failed = 0
        self._opened = None
