"""Owns who may call the API: bearer tokens with scopes; refuses to mint or to store them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request

from service.domain.tokens import PREFIX, Token, allows, digest_of
from service.web.problems import Problem
from service.web.services import Services

_NOTED_EVERY = timedelta(minutes=1)
"""How exactly it is known when a token was used: a write for each call would cost more than the call."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the token's name, or ``anonymous`` where reading is open."""

    name: str


def services_of(request: Request) -> Services:
    """What bootstrap gave this app."""
    found: Services = request.app.state.services
    return found


def requires(scope: str) -> Callable[[Request], Caller]:
    """A dependency that lets through only callers with this scope."""

    def check(request: Request) -> Caller:
        services = services_of(request)
        header = request.headers.get("authorization")
        if header is None and services.owner:
            return Caller(services.owner)
        if header is None:
            if scope == "read" and services.open_reading:
                return Caller("anonymous")
            raise _unauthorized("This needs a token: Authorization: Bearer rft_… (`refit token create` makes one).")
        token = _token(services, header)
        if not allows(token.scopes, scope):
            challenge = {"WWW-Authenticate": f'Bearer realm="refit", error="insufficient_scope", scope="{scope}"'}
            raise Problem(403, f"The token {token.name!r} lacks the scope {scope!r}.", headers=challenge)
        return Caller(token.name)

    return check


def identity(services: Services, header: str | None) -> str | None:
    """Who asks, whatever it may do; ``None``: nobody in particular. Raises 401."""
    if header is None:
        return f"owner {services.owner}" if services.owner else None
    return f"token {_token(services, header).id}"


Reads = Annotated[Caller, Depends(requires("read"))]
Runs = Annotated[Caller, Depends(requires("run"))]
Administers = Annotated[Caller, Depends(requires("admin"))]


def _token(services: Services, header: str) -> Token:
    kind, _, secret = header.partition(" ")
    if kind.lower() != "bearer" or not secret.startswith(PREFIX):
        raise _unauthorized("The Authorization header must be: Bearer rft_…")
    now = datetime.now(UTC)
    with services.store.read() as work:
        token = work.tokens.find(digest_of(secret))
    if token is None or not token.is_valid(now):
        raise _unauthorized("The token is unknown, expired or revoked.")
    if token.last_used_at is None or now - token.last_used_at >= _NOTED_EVERY:
        with services.store.begin() as work:
            work.tokens.used(token.id)
    return token


def _unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="refit"'})
