"""Migrations: what the tables say and what the migrations make are the same, also when three start at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from service.adapters.database.tables import metadata
from service.adapters.database.unit_of_work import Database

ROOT = Path(__file__).resolve().parents[2]
MIGRATE = "import sys; from service.adapters.database.unit_of_work import Database; Database(sys.argv[1]).migrate()"


def test_the_migrations_make_what_the_tables_declare(store: Database, database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_three_processes_that_migrate_at_once_all_succeed(database_url: str) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, database_url], cwd=ROOT, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    endings = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert [code for _, code in endings] == [0, 0, 0], endings
    store = Database(database_url)
    have, want = store.head()
    store.close()
    assert have == want
