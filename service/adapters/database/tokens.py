"""Owns API tokens as rows, never a secret; refuses to judge what a token allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update

from service.adapters.database import tables
from service.adapters.database.documents import certain, dumps, loads, moment, seconds
from service.adapters.database.jobs import clock
from service.domain.names import shown
from service.domain.tokens import Token

_T = tables.tokens


class Tokens:
    """Implements the tokens part of the store port, in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, token: Token) -> None:
        self._connection.execute(
            insert(_T).values(
                id=token.id,
                name=shown(token.name),
                digest=token.digest,
                scopes=dumps(token.scopes),
                created_at=token.created_at.timestamp(),
                expires_at=seconds(token.expires_at),
            )
        )

    def find(self, digest: str) -> Token | None:
        row = self._connection.execute(select(_T).where(_T.c.digest == digest)).one_or_none()
        return None if row is None else _token(row)

    def list(self) -> Sequence[Token]:
        return [_token(row) for row in self._connection.execute(select(_T).order_by(_T.c.created_at))]

    def revoke(self, id: str) -> bool:
        done = self._connection.execute(
            update(_T).where(_T.c.id == id, _T.c.revoked_at.is_(None)).values(revoked_at=clock(self._connection))
        )
        return done.rowcount == 1

    def used(self, id: str) -> None:
        self._connection.execute(update(_T).where(_T.c.id == id).values(last_used_at=clock(self._connection)))


def _token(row: Any) -> Token:
    return Token(
        id=row.id,
        name=row.name,
        digest=row.digest,
        scopes=tuple(loads(row.scopes)),
        created_at=certain(row.created_at),
        expires_at=moment(row.expires_at),
        revoked_at=moment(row.revoked_at),
        last_used_at=moment(row.last_used_at),
    )
