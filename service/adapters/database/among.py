"""Owns membership in a list of any length, as one parameter in both dialects; refuses ``IN (?, ?, …)``, whose text and
number of variables grow with the list."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import JSON, Connection, Subquery, Text, any_, bindparam, column, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import ColumnElement


def among(connection: Connection, column: ColumnElement[str], values: Iterable[str]) -> ColumnElement[bool]:
    """Whether the column's value is one of ``values``."""
    wanted = sorted(set(values))
    if connection.dialect.name == "postgresql":
        return column == any_(bindparam(None, wanted, ARRAY(Text), unique=True))
    return column.in_(select(func.json_each(json.dumps(wanted)).table_valued("value").c.value))


def pairs(connection: Connection, rows: Iterable[tuple[str, str]]) -> Subquery:
    """Rows of two texts, ``first`` and ``second``, to join with."""
    wanted = [list(row) for row in rows]
    if connection.dialect.name == "postgresql":
        each = func.json_array_elements(bindparam(None, wanted, JSON, unique=True)).table_valued(column("value", JSON))
        first, second = each.c.value[0].as_string(), each.c.value[1].as_string()
    else:
        each = func.json_each(json.dumps(wanted)).table_valued("value")
        first, second = (func.json_extract(each.c.value, f"$[{at}]") for at in (0, 1))
    return select(first.label("first"), second.label("second")).subquery()
