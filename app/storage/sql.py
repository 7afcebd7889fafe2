"""The store on SQLAlchemy: one class a noun, behind one name."""

from __future__ import annotations

from app.storage.database import Database
from app.storage.sql_adapters import SQLAdapters
from app.storage.sql_advances import SQLAdvances
from app.storage.sql_experiments import SQLExperiments
from app.storage.sql_interactions import SQLInteractions
from app.storage.sql_jobs import SQLJobs
from app.storage.sql_learning import SQLLearning
from app.storage.sql_memories import SQLMemories
from app.storage.sql_personas import SQLPersonas
from app.storage.sql_users import SQLUsers


class SQLStore(
    SQLMemories,
    SQLPersonas,
    SQLInteractions,
    SQLUsers,
    SQLLearning,
    SQLAdvances,
    SQLAdapters,
    SQLExperiments,
    SQLJobs,
):
    """Implements app.storage.base.Store on SQLite and PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ping(self) -> None:
        async with self._database.read() as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def aclose(self) -> None:
        await self._database.aclose()
