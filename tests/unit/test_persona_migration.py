"""Revision 0004, up and down, over a database that was in use."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from app.storage.migrate import downgrade, migrate
from app.storage.open import open_store
from tests.nouns import NOON, a_statement, at

STAMP = "%Y-%m-%d %H:%M:%S.%f"
COLUMNS = (
    "tenant, user_id, id, name, value, rejected, confidence, evidence, counter_evidence,"
    " valid_from, valid_to, producer, context"
)


def facet(id_: str, value: str, start: float, end: float | None, producer: str) -> tuple[Any, ...]:
    until = None if end is None else at(end).strftime(STAMP)
    times = (at(start).strftime(STAMP), until)
    return ("default", "ann", id_, "tongue", value, "[]", 0.6, '["c1"]', "[]", *times, producer, "")


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def in_use(path: Path) -> None:
    """A choice that taught a facet, and two statements, of which the second ended the first."""
    held = [
        facet("f1", "tea", 0, None, "heuristic"),
        facet("f2", "Go", 5, 9, "user"),
        facet("f3", "Rust", 9, None, "user"),
    ]
    noon = NOON.strftime(STAMP)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO users VALUES ('default', 'ann', 7)")
        connection.execute(
            "INSERT INTO choices VALUES ('default', 'c1', 'ann', 'x', '[]', 'tea', ?)", (noon,)
        )
        connection.execute("INSERT INTO events VALUES (41, 'default', 'ann', 'choice', 'c1', ?)", (noon,))
        marks = ", ".join("?" * 13)
        connection.executemany(f"INSERT INTO facets ({COLUMNS}) VALUES ({marks})", held)
        connection.commit()


def test_what_stands_is_kept_and_becomes_the_beginning_of_the_fold(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    url = f"sqlite:///{path}"
    asyncio.run(migrate(url, "0003"))
    in_use(path)
    before = rows(path, f"SELECT {COLUMNS} FROM facets ORDER BY id")

    async def upgraded() -> None:
        await migrate(url)
        store = open_store(url)
        persona = await store.load_persona("default", "ann")
        assert [(one.id, one.last_seen == one.valid_from) for one in persona.facets] == [
            ("f1", True),
            ("f2", True),
            ("f3", True),
        ]
        said = [event.record for event in await store.events_after("default", 41, 10, "ann")]
        assert said == [
            a_statement("f2", name="tongue", value="Go", created_at=at(5)),
            a_statement("f2-end", name="tongue", value=None, created_at=at(9)),
            a_statement("f3", name="tongue", value="Rust", created_at=at(9)),
        ]
        assert await store.personas_behind() == []
        assert persona.seq == (await store.learning_head("default")).seq
        assert (await store.profile("default", "ann")).memory_version == 7
        await store.aclose()

    asyncio.run(upgraded())
    asyncio.run(downgrade(url, "0003"))
    assert rows(path, f"SELECT {COLUMNS} FROM facets ORDER BY id") == before
    assert rows(path, "SELECT seq, kind FROM events") == [(41, "choice")]
    assert rows(path, "SELECT * FROM users") == [("default", "ann", 7)]
    asyncio.run(upgraded())
