"""A server that is away is asked seldom, by one caller at a time, and found again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.clients.embedding.base import Vectors
from app.clients.embedding.resting import RestingEmbedder
from app.clients.slm.base import Call, GenerateHypotheses, ScoreRelevance
from app.clients.slm.local import LocalClient
from app.errors import BackendError, BackendRejected, BackendTimeout, BackendUnavailable
from app.services.ordering import merge
from app.services.playbook import Playbook
from tests.scripted import Clock, hypothesis


class Moody:
    """Fails with `error` while there is one."""

    name, dimensions = "moody", 2

    def __init__(self, error: BackendError | None = None, hangs: bool = False) -> None:
        self.error, self.hangs = error, hangs
        self.asked = 0

    async def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += 1
        await asyncio.sleep(3600 if self.hangs else 0)
        if self.error is not None:
            raise self.error
        return np.tile(np.array([1, 0], np.float32), (len(texts), 1))

    async def aclose(self) -> None:
        self.error = BackendUnavailable("closed")


async def failing(embedder: RestingEmbedder, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(BackendError):
            await embedder.embed(["tea"])


async def test_it_rests_after_a_failure_twice_as_long_each_time_and_comes_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, server = Clock(), Moody(BackendUnavailable("no connection"))
    embedder = RestingEmbedder(server, rest=5, longest_rest=15, clock=clock)
    await failing(embedder, 3)
    assert server.asked == 1 and embedder.resting
    for pause, asked in ((4.9, 1), (0.2, 2), (9.9, 2), (0.2, 3), (14.9, 3), (0.2, 4), (14.9, 4), (0.2, 5)):
        clock.now += pause
        await failing(embedder)
        assert server.asked == asked
    server.error = None
    clock.now += 16
    assert (await embedder.embed(["tea"])).shape == (1, 2)
    assert not embedder.resting
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "tea" not in caplog.text


async def test_one_call_finds_out_whether_it_is_back() -> None:
    clock, server = Clock(), Moody(BackendUnavailable("no connection"))
    embedder = RestingEmbedder(server, rest=5, clock=clock)
    await failing(embedder)
    clock.now += 5
    await asyncio.gather(*(failing(embedder) for _ in range(9)))
    assert server.asked == 2


async def test_a_server_that_hangs_is_not_waited_for() -> None:
    server = Moody(hangs=True)
    embedder = RestingEmbedder(server, patience=0.01)
    with pytest.raises(BackendTimeout):
        await embedder.embed([])
    assert embedder.resting
    await failing(embedder, 3)
    assert server.asked == 1


async def test_a_server_that_refuses_a_text_is_alive() -> None:
    server = Moody(BackendRejected("too long"))
    embedder = RestingEmbedder(server)
    await failing(embedder, 3)
    assert server.asked == 3 and not embedder.resting


async def test_local_answers_by_words_where_the_embedder_fails() -> None:
    local = LocalClient(Moody(BackendUnavailable("away")))
    written = await local.run(GenerateHypotheses("build api"), Call())
    assert len(written.value) == 3
    relevant = await local.run(ScoreRelevance("green tea", ("coffee", "green tea")), Call())
    assert relevant.value[1] > relevant.value[0]


async def test_equal_words_are_merged_where_the_embedder_fails() -> None:
    lists = [[hypothesis("Which language?"), hypothesis("Which budget?")], [hypothesis("Which language?")]]
    merged = await merge(lists, Moody(BackendUnavailable("away")), 5)
    assert sorted(one.question for one in merged) == ["Which budget?", "Which language?"]


async def test_a_playbook_knows_words_until_its_entries_have_vectors(tmp_path: Path) -> None:
    entries: list[dict[str, object]] = [
        {"id": text, "text": text, "vague": True, "details": []} for text in ("bake bread", "build an api")
    ]
    file = tmp_path / "book.jsonl"
    file.write_text("\n".join(json.dumps(entry) for entry in entries))
    server = Moody(BackendUnavailable("away"))
    book = await Playbook.open(file, server)
    assert not book.embedded
    assert (await book.resembling("an api"))[0].id == "build an api"
    later = asyncio.create_task(book.embed_in_the_end(pause=0))
    await asyncio.sleep(0.01)
    server.error = None
    await later
    assert book.embedded
    server.error = BackendUnavailable("away again")
    assert (await book.resembling("an api"))[0].id == "build an api"
