"""Owns membership in a list of any length, as one parameter in both dialects; refuses ``IN (?, ?, …)``, whose text and
number of variables grow with the list."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Self

from sqlalchemy import (
    JSON,
    BindParameter,
    Boolean,
    Dialect,
    Subquery,
    Text,
    TypeDecorator,
    bindparam,
    column,
    func,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType


class _Listed(TypeDecorator[Iterable[str]]):
    """Texts: an array for PostgreSQL, JSON for SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> Any:
        return dialect.type_descriptor(ARRAY(Text) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Iterable[str] | None, dialect: Dialect) -> Any:
        wanted = sorted(set(value or ()))
        return wanted if dialect.name == "postgresql" else json.dumps(wanted)


class _Among(FunctionElement[bool]):
    name = "among"
    type = Boolean()
    inherit_cache = True

    def self_group(self, against: OperatorType | None = None) -> Self:
        """Never ``… = 1``, which SQLAlchemy makes of what is true or false for SQLite, and which no index answers."""
        return self


@compiles(_Among, "sqlite")
def _sqlite(element: _Among, compiler: SQLCompiler, **more: Any) -> str:
    asked, wanted = (compiler.process(one, **more) for one in element.clauses)
    return f"{asked} IN (SELECT value FROM json_each({wanted}))"  # noqa: S608 – compiled text with placeholders


@compiles(_Among, "postgresql")
def _postgresql(element: _Among, compiler: SQLCompiler, **more: Any) -> str:
    asked, wanted = (compiler.process(one, **more) for one in element.clauses)
    return f"{asked} = ANY({wanted})"


def among(asked: ColumnElement[Any], values: Iterable[str] | str) -> ColumnElement[bool]:
    """Whether the column's value is one of ``values``; a plain text is the name of a parameter that will have them, for
    statements that are made once."""
    if isinstance(values, str):
        wanted: BindParameter[Any] = bindparam(values, type_=_Listed())
    else:
        wanted = bindparam(None, list(values), _Listed(), unique=True)
    return _Among(asked, wanted)


def pairs(dialect: str, name: str) -> Subquery:
    """Rows of two texts, ``first`` and ``second``, to join with; the parameter ``name`` has them as a list of lists."""
    if dialect == "postgresql":
        each = func.json_array_elements(bindparam(name, type_=JSON)).table_valued(column("value", JSON))
        first, second = each.c.value[0].as_string(), each.c.value[1].as_string()
    else:
        each = func.json_each(bindparam(name, type_=JSON)).table_valued("value")
        first, second = (func.json_extract(each.c.value, f"$[{at}]") for at in (0, 1))
    return select(first.label("first"), second.label("second")).subquery()
