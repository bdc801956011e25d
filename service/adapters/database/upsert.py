"""Owns inserts that meet an existing row, in both dialects; refuses to hide which of the two happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_new(connection: Connection, table: Table, values: Mapping[str, Any], *unique: str) -> bool:
    """Insert unless a row with these unique columns exists; whether it was inserted."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).values(**values).on_conflict_do_nothing(index_elements=list(unique))
    return connection.execute(statement.returning(table.c[unique[0]])).first() is not None


def insert_all_new(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *unique: str
) -> frozenset[Any]:
    """Insert those rows that do not exist yet; the primary keys (a single column) of those that were inserted."""
    if not rows:
        return frozenset()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).on_conflict_do_nothing(index_elements=list(unique)).returning(*table.primary_key)
    return frozenset(connection.scalars(statement, [dict(row) for row in rows]))


def ensure_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those rows whose primary key does not exist yet."""
    if rows:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        statement = insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key))
        connection.execute(statement, [dict(row) for row in rows])


def insert_or_update(connection: Connection, table: Table, values: Mapping[str, Any], *unique: str) -> None:
    """Insert, or overwrite every other column of the existing row."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    rest = {name: value for name, value in values.items() if name not in unique}
    connection.execute(insert(table).values(**values).on_conflict_do_update(index_elements=list(unique), set_=rest))
