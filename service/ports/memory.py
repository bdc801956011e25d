"""Owns the ports to what is remembered beside executions and their results: where refs stand, models, facts, tokens;
refuses work and its queues."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from service.domain.facts import Fact, Request
from service.domain.lineage import ModelVersion, Standing
from service.domain.tokens import Token


class Standings(Protocol):
    def add(self, standing: Standing) -> None:
        """Idempotent by (repository, ref, commit, trigger)."""
        ...

    def newest(self, repository: str, ref: str) -> Standing | None:
        """Where the ref's pipelines stand since it was last planned."""
        ...

    def of_commit(self, commit: str) -> Sequence[Standing]:
        """Newest first, without marks except for what is still its ref's newest."""
        ...


class Models(Protocol):
    def register(self, model: ModelVersion, by: str, why: str) -> ModelVersion:
        """Store with the next version number and its first event; idempotent by (name, execution)."""
        ...

    def all(self, name: str = "", digest: str = "") -> Sequence[ModelVersion]:
        """Versions with their events, by name, newest first."""
        ...

    def settle(self, model: ModelVersion, status: str, by: str, why: str) -> ModelVersion | None:
        """Give a version another status, and record who and why; ``None`` if its status is no longer ``model``'s."""
        ...


class Facts(Protocol):
    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]: ...

    def put(self, facts: Iterable[tuple[Request, Fact]], version: str) -> None: ...


class Tokens(Protocol):
    def add(self, token: Token) -> None: ...

    def find(self, digest: str) -> Token | None: ...

    def list(self) -> Sequence[Token]: ...

    def revoke(self, id: str) -> bool: ...

    def used(self, id: str) -> None:
        """Note that it was used now."""
        ...
