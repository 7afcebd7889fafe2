"""Records what happens in four JSON-lines files, beside the request's path and never in its way."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from app.models import Advance, Choice, Facet, Feedback, Interaction, Selection
from app.services.training import lines
from app.services.training.history import History, history_lines
from app.services.training.jsonl import JsonlDirectory, to_line
from app.services.training.lines import FEEDBACK, FILES, HYPOTHESES, PERSONAS, RANKINGS, Line
from app.services.training.redact import alias

logger = logging.getLogger(__name__)

COMPLAIN_SECONDS = 60.0
"""A disk that is full is logged this often, not once a line."""


class TrainingDataCollector:
    """Appends to hypotheses_data, persona_updates, ranking_data and user_feedback (.jsonl).

    The record functions return at once and never raise: a background task redacts and writes what
    they queued, within `flush_seconds`, and on `aclose`. A full queue drops and counts. Several
    processes may share a directory. Lines whose label is less sure than `min_confidence` are kept,
    marked `for_training: false`. Use it as an async context manager, on one event loop.

        async with TrainingDataCollector(Path("data/training")) as collector:
            collector.record_interaction(interaction)
            collector.record_selection(interaction, selection)
    """

    def __init__(
        self,
        directory: Path = Path("data/training"),
        min_confidence: float = 0.7,
        enabled: bool = True,
        queue_size: int = 10_000,
        flush_seconds: float = 0.5,
    ) -> None:
        self.enabled = enabled
        self.directory, self.min_confidence = directory, min_confidence
        self._files = JsonlDirectory(directory, FILES)
        self._queue_size = queue_size
        self._flush_seconds = flush_seconds
        self._queue: deque[tuple[str, Callable[[], Line]]] = deque()
        self._dropped = self._failed = 0
        self._complained = -COMPLAIN_SECONDS
        self._filled, self._closing, self._flushing = asyncio.Event(), asyncio.Event(), asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self.enabled:
            try:
                await asyncio.to_thread(self._files.heal)
            except OSError as error:
                self._complain(error)
            self._task = asyncio.create_task(self._flush_forever(), name="training-data-collector")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Write what is queued; whatever is recorded from now on is dropped."""
        self._closing.set()
        self._filled.set()
        if self._task is not None:
            await self._task
            self._task = None
        await self.flush()

    def record_interaction(self, interaction: Interaction) -> None:
        """A request as it was answered: a line of hypotheses, or of a ranking, by its kind."""
        if interaction.kind == "hypothesize":
            self.record_hypotheses(interaction)
        else:
            self.record_ranking(interaction)

    def record_hypotheses(self, interaction: Interaction) -> None:
        """What was shown, in the order shown, from which prompt."""
        self._record(HYPOTHESES, partial(lines.shown_line, interaction))

    def record_ranking(self, interaction: Interaction) -> None:
        """The query of a search or ranking, and its candidates as shown, with scores."""
        self._record(RANKINGS, partial(lines.shown_line, interaction))

    def record_selection(self, interaction: Interaction, selection: Selection) -> None:
        """The same request with what was picked, as a line of its own."""
        self._record(HYPOTHESES, partial(lines.selection_line, interaction, selection))

    def record_undo(self, interaction: Interaction, advance: Advance) -> None:
        """The same request with the option that was taken back, as a line of its own."""
        self._record(HYPOTHESES, partial(lines.undo_line, interaction, advance))

    def record_feedback(self, feedback: Feedback, interaction: Interaction | None = None) -> None:
        """A judgement; of a search or ranking it is also that line again, with its labels."""
        self._record(FEEDBACK, partial(lines.feedback_line, feedback, interaction))
        if interaction is not None and interaction.kind != "hypothesize":
            self._record(RANKINGS, partial(lines.labels_line, interaction, feedback))

    def record_choice(self, choice: Choice) -> None:
        self._record(FEEDBACK, partial(lines.choice_line, choice))

    def record_persona_update(
        self,
        tenant: str,
        user_id: str,
        before: Facet | None,
        after: Facet,
        evidence_id: str,
        origin: Mapping[str, Any] | None = None,
    ) -> None:
        """A facet before and after the record `evidence_id` (a request, choice or feedback) was heard.

        `origin`: who read that record, and from which prompt. "" is the id of a user's own statement.
        """
        line = partial(lines.persona_line, tenant, user_id, before, after, evidence_id, origin)
        self._record(PERSONAS, line)

    async def flush(self) -> None:
        """Write everything queued so far. A line that cannot be written is counted, not raised."""
        async with self._flushing:
            batch = [self._queue.popleft() for _ in range(len(self._queue))]
            if batch:
                await asyncio.to_thread(self._write, batch)

    async def erase(self, tenant: str, user_id: str) -> dict[str, int]:
        """Rewrite the files without this user's lines; how many by file. Raises OSError.

        What another process has queued at this moment is written after it: erase from the store
        first, and once more here after `flush_seconds` where several workers run.
        """
        await self.flush()
        return await asyncio.to_thread(self._files.erase, partial(_is_about, tenant, alias(user_id)))

    async def export(self, rows: History, directory: Path, tenant: str | None = None) -> dict[str, int]:
        """Write the four files anew from what the store holds; lines by file. Raises OSError.

        Where `rows` are one tenant's, name it: the lines of others stay.
        """
        await self.flush()
        return await asyncio.to_thread(self._export, rows, directory, tenant)

    async def stats(self) -> dict[str, Any]:
        """Lines and bytes by file, and what went wrong since the start in this process."""
        sizes = await asyncio.to_thread(self._files.sizes)
        return {
            "enabled": self.enabled,
            "files": {name: {"lines": count, "bytes": size} for name, (count, size) in sizes.items()},
            "queued": len(self._queue),
            "dropped": self._dropped,
            "failed": self._failed,
            "healed": self._files.healed,
        }

    def _record(self, name: str, render: Callable[[], Line]) -> None:
        if not self.enabled:
            return
        if self._closing.is_set() or len(self._queue) >= self._queue_size:
            self._dropped += 1
            return
        self._queue.append((name, render))
        self._filled.set()

    async def _flush_forever(self) -> None:
        while not self._closing.is_set():
            await self._filled.wait()
            self._filled.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._flush_seconds)
            await self.flush()

    def _write(self, batch: list[tuple[str, Callable[[], Line]]]) -> None:
        rendered: dict[str, list[bytes]] = defaultdict(list)
        for name, render in batch:
            try:
                rendered[name].append(to_line(self._marked(render())))
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                self._fail(1, error)
        for name, ready in rendered.items():
            try:
                self._files.append(name, b"".join(ready))
            except OSError as error:
                self._fail(len(ready), error)

    def _export(self, rows: History, directory: Path, tenant: str | None) -> dict[str, int]:
        anew = {name: map(self._marked, found) for name, found in history_lines(rows).items()}
        return JsonlDirectory(directory, FILES).replace(anew, partial(_is_of_another, tenant))

    def _marked(self, line: Line) -> Line:
        return {**line, "for_training": line["label_confidence"] >= self.min_confidence}

    def _fail(self, count: int, error: Exception) -> None:
        self._failed += count
        self._complain(error)

    def _complain(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._complained >= COMPLAIN_SECONDS:
            self._complained = now
            logger.warning("training data is not written (%d lines so far): %s", self._failed, error)


def _is_of_another(tenant: str | None, line: Mapping[str, Any]) -> bool:
    return tenant is not None and line.get("tenant") != tenant


def _is_about(tenant: str, user: str, line: Mapping[str, Any]) -> bool:
    return (line["tenant"], line["user_id"]) == (tenant, user)
