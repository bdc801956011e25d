"""Owns what plans a user's own checkout: no server, no database, no network; refuses to import any of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.adapters.git.checkout import Checkout
from service.adapters.reading import IsolatedReader
from service.adapters.reading.schema import json_schema
from service.bootstrap.backends import names_of_backends, open_definitions
from service.domain.errors import Refused
from service.domain.facts import Fact, Request
from service.flow.assess import Assessor
from service.settings import Settings


@contextmanager
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader() as reading:
        yield reading


def known_backends() -> Collection[str]:
    """The names that a manifest may use here."""
    return names_of_backends(Settings())


def manifest_schema() -> Mapping[str, object]:
    """The JSON Schema of ``refit.yaml``, for editors."""
    return json_schema()


@dataclass(frozen=True)
class Here:
    """A user's own repository, and what plans its commits."""

    name: str
    repository: Checkout
    assessor: Assessor

    def default_base(self, head: str) -> str | None:
        """The merge-base with the default branch; for a commit of that branch itself, its first parent. ``None`` if there
        is none here: a shallow clone has it no more."""
        default = self.repository.default_branch()
        base = self.repository.merge_base(default, head) if default else None
        if base != head:
            return base
        parents = self.repository.commit(head).parents
        return parents[0] if parents and self._has(parents[0]) else None

    @property
    def is_shallow(self) -> bool:
        return (self.repository.folder / "shallow").exists()

    def _has(self, sha: str) -> bool:
        try:
            self.repository.commit(sha)
        except Refused:
            return False
        return True


@contextmanager
def checkout(path: Path) -> Iterator[Here]:
    """Plan in place: no server, no database, no network; but the SDK that a native definition needs is installed once."""
    settings = Settings()
    with Checkout(path) as repository, IsolatedReader() as reading:
        assessor = Assessor(reading, _Forgetful(), names_of_backends(settings), open_definitions(settings, reading))
        yield Here(_name(path), repository, assessor)


def _name(path: Path) -> str:
    folder = path.resolve()
    return f"local/{folder.name.removesuffix('.git') or 'repository'}"


class _Forgetful:
    """No cache: a plan in a checkout leaves nothing behind."""

    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]:
        return {}

    def put(self, facts: object, version: str) -> None:
        return None
