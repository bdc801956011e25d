"""API tokens: shown once, stored as a hash, valid for so long, allowed so much."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.tokens import SCOPES, Token, allows, digest_of, new_token

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def test_the_secret_is_nowhere_in_what_is_stored() -> None:
    secret, token = new_token("ci", ["run"], NOW)
    assert re.fullmatch(r"rft_[A-Za-z0-9_-]{43}", secret)
    stored = [str(getattr(token, field.name)) for field in fields(Token)]
    assert not any(secret in text or secret.removeprefix("rft_") in text for text in stored)
    assert token.digest == digest_of(secret)
    assert (token.name, token.scopes, token.created_at, token.expires_at) == ("ci", ("run",), NOW, None)


def test_no_two_tokens_are_alike() -> None:
    made = [new_token("ci", ["read"], NOW) for _ in range(100)]
    assert len({secret for secret, _ in made}) == len({token.id for _, token in made}) == 100
    assert len({token.digest for _, token in made}) == 100


@pytest.mark.parametrize("text", ["", "rft_", "rft_\udcff", "x" * 100_000])
def test_anything_can_be_looked_up(text: str) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", digest_of(text))


def test_a_token_is_valid_until_it_expires_or_is_revoked() -> None:
    _, token = new_token("ci", ["read"], NOW, NOW + timedelta(days=1))
    assert token.is_valid(NOW)
    assert token.is_valid(NOW + timedelta(days=1, microseconds=-1))
    assert not token.is_valid(NOW + timedelta(days=1))
    assert not replace(token, revoked_at=NOW).is_valid(NOW)
    _, endless = new_token("ci", ["read"], NOW)
    assert endless.is_valid(NOW + timedelta(days=100_000))


@pytest.mark.parametrize("have", SCOPES)
@pytest.mark.parametrize("wanted", SCOPES)
def test_each_scope_includes_those_before_it(have: str, wanted: str) -> None:
    assert allows([have], wanted) == (SCOPES.index(have) >= SCOPES.index(wanted))


def test_the_widest_of_several_scopes_decides_and_unknown_ones_allow_nothing() -> None:
    assert allows(["read", "admin"], "run")
    assert not allows(["superuser", "ADMIN", ""], "read")
    assert not allows([], "read")
    assert SCOPES == ("read", "run", "admin")
