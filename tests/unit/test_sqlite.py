"""What only a database in a file can show: migrations, locks, processes, bytes left behind."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from app.errors import ConfigError, InvalidInput, StorageError
from app.storage.migrate import downgrade, migrate
from app.storage.open import open_database, open_store
from app.storage.sql import SQLStore
from app.storage.tables import metadata
from tests.nouns import a_facet, a_memory, a_selection, an_interaction, hold, unit_vectors


@pytest.fixture
async def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/deep/er/test.db"
    await migrate(url)
    return url


@pytest.fixture
async def store(url: str) -> AsyncIterator[SQLStore]:
    store = open_store(url)
    yield store
    await store.aclose()


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


async def test_the_migrations_make_the_tables_that_the_code_names(url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_migrations_go_down_and_up_again(url: str) -> None:
    await downgrade(url)
    engine = create_engine(url)
    assert inspect(engine).get_table_names() == ["alembic_version"]
    await migrate(url)
    await migrate(url)
    assert set(metadata.tables) < set(inspect(engine).get_table_names())
    engine.dispose()


async def test_several_workers_may_migrate_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/test.db"
    await asyncio.gather(*(migrate(url) for _ in range(4)))
    store = open_store(url)
    await store.add_interaction(an_interaction())
    await store.aclose()


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/x", "sqlite://", "sqlite:///:memory:"])
async def test_a_url_that_cannot_be_is_named_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        open_store(url)
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        await migrate(url)


async def test_a_folder_that_cannot_be_made_is_named_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        open_store(f"sqlite:///{tmp_path}/file/test.db")


async def test_the_file_is_opened_as_planned(url: str) -> None:
    database = open_database(url)
    async with database.read() as reading, database.write() as writing:
        for connection in (reading, writing):
            found = {
                pragma: (await connection.exec_driver_sql(f"PRAGMA {pragma}")).scalar_one()
                for pragma in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "busy_timeout")
            }
            assert found == {
                "journal_mode": "wal",
                "synchronous": 1,
                "foreign_keys": 1,
                "secure_delete": 1,
                "busy_timeout": 5000,
            }
    await database.aclose()


async def test_readers_do_not_wait_for_a_writer(url: str, store: SQLStore) -> None:
    await hold(store, [a_facet()])
    other = sqlite3.connect(file_of(url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("DELETE FROM facets")
    assert len((await store.profile("default", "ann")).facets) == 1
    other.execute("ROLLBACK")
    other.close()


async def test_a_lock_that_is_held_too_long_is_a_storage_error(url: str) -> None:
    store = open_store(url, busy_seconds=0.05)
    other = sqlite3.connect(file_of(url), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError) as caught:
        await store.add_interaction(an_interaction())
    assert caught.value.retryable
    other.execute("COMMIT")
    other.close()
    await store.add_interaction(an_interaction())
    await store.aclose()


async def test_without_its_tables_it_says_so(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(StorageError):
        await store.profile("default", "ann")
    await store.ping()
    await store.aclose()


async def test_a_file_that_is_no_database_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "test.db").write_bytes(b"not a database" * 1000)
    store = open_store(f"sqlite:///{tmp_path}/test.db")
    with pytest.raises(StorageError):
        await store.ping()
    await store.aclose()


async def test_a_file_in_use_is_turned_to_wal_by_the_migration_alone(tmp_path: Path) -> None:
    path = tmp_path / "used.db"
    with contextlib.closing(sqlite3.connect(path, check_same_thread=False)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.execute("INSERT INTO theirs VALUES (1)")
        release = threading.Timer(0.3, other.commit)
        release.start()
        await migrate(f"sqlite:///{path}")
    with contextlib.closing(sqlite3.connect(path)) as fresh:
        assert fresh.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_stores_write_side_by_side(url: str) -> None:
    stores = [open_store(url) for _ in range(3)]

    async def write(n: int) -> None:
        await stores[n % 3].add_interaction(an_interaction(f"r{n}"))
        await stores[n % 3].put_memories("default", "ann", [a_memory(f"m{n}")], unit_vectors(1), "s")

    await asyncio.gather(*map(write, range(60)))
    rounds = await stores[0].iterate_interactions("default")
    loaded = await stores[1].load_memories("default", "ann")
    for store in stores:
        await store.aclose()
    assert (len(rounds), len(loaded.memories)) == (60, 60)


async def test_an_erased_person_leaves_no_byte(url: str, store: SQLStore) -> None:
    secret = "violet-harbour-seventeen"
    await store.put_memories("default", "ann", [a_memory(text=secret)], unit_vectors(1), "s")
    await hold(store, [a_facet(value=secret)])
    await store.add_interaction(an_interaction(input_text=secret, answer={"x": secret * 900}))
    await store.add_selection(a_selection(free_text=secret))
    await store.add_interaction(an_interaction("r2", user_id="bob"))
    await store.erase_user("default", "ann")
    left = b"".join(path.read_bytes() for path in file_of(url).parent.iterdir())
    assert secret.encode() not in left
    assert b"bob" in left


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError])
async def test_a_transaction_that_is_left_by_an_error_did_nothing(
    url: str, error: type[BaseException]
) -> None:
    database = open_database(url)
    with pytest.raises(error):
        async with database.write() as connection:
            await connection.exec_driver_sql("INSERT INTO users VALUES ('default', 'ann', 1, 0)")
            raise error
    async with database.write() as connection:
        assert (await connection.exec_driver_sql("SELECT count(*) FROM users")).scalar_one() == 0
    await database.aclose()


async def test_a_caller_who_goes_away_leaves_the_store_whole(store: SQLStore) -> None:
    for n in range(30):
        task = asyncio.create_task(store.add_interaction(an_interaction(f"r{n}")))
        for _ in range(n % 10):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await store.add_interaction(an_interaction("last"))
    assert await store.get_interaction("default", "last") == an_interaction("last")


@pytest.mark.parametrize(
    "memory", [{"position": 2**63}, {"metadata": {"n": 2**70}}, {"metadata": {"f": set()}}]
)
async def test_a_number_that_no_column_holds_is_invalid(store: SQLStore, memory: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        await store.put_memories("default", "ann", [a_memory(**memory)], unit_vectors(1), "s")
    assert (await store.load_memories("default", "ann")).memories == ()
