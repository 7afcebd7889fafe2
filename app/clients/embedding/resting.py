"""An embedder that is not asked again and again while its server is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from app.clients.embedding.base import Embedder, Vectors
from app.errors import BackendError, BackendTimeout, BackendUnavailable

log = logging.getLogger(__name__)

_SECONDS_A_TEXT = 0.1


class RestingEmbedder:
    """Wraps a server's embedder: after a failure it raises at once for `rest` seconds, then asks again.

    Each rest in a row is twice as long, up to `longest_rest`. No connection, 5xx and timeouts count; a
    server that refuses a text is alive. It says once that the server is away, and once that it is back.
    """

    def __init__(
        self,
        inner: Embedder,
        *,
        rest: float = 5.0,
        longest_rest: float = 60.0,
        patience: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """In seconds. `patience`, and a little for each text, is how long an answer may take: readers wait
        for it, and have their words to go on with.
        """
        self.name, self.dimensions = inner.name, inner.dimensions
        self._inner, self._clock = inner, clock
        self._rest, self._longest, self._patience = rest, longest_rest, patience
        self._next_rest = rest
        self._asked_again_at: float | None = None

    @property
    def resting(self) -> bool:
        """Whether the server is thought to be away."""
        return self._asked_again_at is not None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """As the wrapped embedder. Raises BackendUnavailable without asking while it rests."""
        self._enter()
        seconds = self._patience + _SECONDS_A_TEXT * len(texts)
        try:
            async with asyncio.timeout(seconds):
                vectors = await self._inner.embed(texts)
        except TimeoutError as error:
            late = BackendTimeout(f"The embedding server took longer than {seconds:.0f} s.")
            self._fail(late)
            raise late from error
        except (BackendUnavailable, BackendTimeout) as error:
            self._fail(error)
            raise
        self._succeed()
        self.dimensions = self._inner.dimensions  # a server's are known from its first answer on
        return vectors

    async def aclose(self) -> None:
        """Closes the wrapped embedder."""
        await self._inner.aclose()

    def _enter(self) -> None:
        if self._asked_again_at is None:
            return
        now = self._clock()
        if now < self._asked_again_at:
            wait = self._asked_again_at - now
            raise BackendUnavailable("The embedding server is away; try again later.", retry_after=wait)
        self._asked_again_at = now + self._next_rest  # one call finds out; the others do not wait for it

    def _fail(self, error: BackendError) -> None:
        if self._asked_again_at is None:
            log.warning("embedder %s rests for %.0f s: %s", self.name, self._rest, error.slug)
            self._next_rest = self._rest
        else:
            self._next_rest = min(self._longest, 2 * self._next_rest)
        self._asked_again_at = self._clock() + self._next_rest

    def _succeed(self) -> None:
        if self._asked_again_at is not None:
            log.warning("embedder %s answers again", self.name)
            self._asked_again_at = None
