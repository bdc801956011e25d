"""Owns API tokens: how one is minted, hashed and what its scopes allow; refuses to store or to transport one."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

PREFIX = "rft_"
SCOPES = ("read", "run", "admin")
"""Each includes those before it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as stored: never the secret, only its SHA-256."""

    id: str
    name: str
    digest: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def new_token(
    name: str, scopes: Collection[str], now: datetime, expires_at: datetime | None = None
) -> tuple[str, Token]:
    """A fresh secret, to be shown once, and what is stored of it."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, Token(secrets.token_hex(6), name, digest_of(secret), tuple(scopes), now, expires_at)


def digest_of(secret: str) -> str:
    """What a secret is looked up by; it has 256 random bits, so a plain hash is enough."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def allows(scopes: Collection[str], wanted: str) -> bool:
    """Whether any of the scopes includes the wanted one."""
    return any(SCOPES.index(scope) >= SCOPES.index(wanted) for scope in scopes if scope in SCOPES)
