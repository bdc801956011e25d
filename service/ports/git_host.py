"""Owns the port to a repository's history, read only; refuses posting, which is the notifier's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from service.domain.change import Change
from service.domain.tree import Tree


@dataclass(frozen=True, slots=True)
class Commit:
    """What lineage says about a commit. ``message`` is its first line, at most 200 characters."""

    sha: str
    tree: str
    author: str
    message: str
    committed_at: datetime
    parents: tuple[str, ...]


class Repository(Protocol):
    """One repository's objects. Every revision argument is a full SHA (``resolve`` makes one); text never reaches git
    as an option. Raises ``Refused`` for what is not there and ``Retry`` for what is not there yet or cannot be reached."""

    def fetch(self, *shas: str) -> Mapping[str, str]:
        """Bring the mirror up to date under its lock and return ref → SHA; each of ``shas`` must then be readable,
        else ``Retry`` (a webhook may precede its commit)."""
        ...

    def resolve(self, revision: str) -> str:
        """Full commit SHA of a branch, tag or abbreviated SHA; ``Refused`` if there is none."""
        ...

    def commit(self, sha: str) -> Commit: ...

    def tree(self, sha: str) -> Tree:
        """Every file of the commit's tree."""
        ...

    def compare(self, base: str | None, head: str) -> Change:
        """The tree-to-tree difference; ``base=None`` compares with the empty tree."""
        ...

    def merge_base(self, one: str, other: str) -> str | None: ...

    def blobs(self, oids: Sequence[str], limit: int) -> Mapping[str, bytes | None]:
        """Contents by OID, fetched in one batch; ``None`` for a blob that is missing or larger than ``limit`` bytes."""
        ...

    def prefetch(self, oids: Sequence[str]) -> None:
        """Have these blobs at hand before they are read in parts: one trip to the remote instead of many."""
        ...

    def export(self, sha: str, target: Path) -> None:
        """Write the commit's files below the empty folder ``target``, without ``.git``."""
        ...


class GitHost(Protocol):
    """The repositories that the operator configured."""

    def repository(self, name: str) -> Repository:
        """The repository called ``owner/name``; ``Refused`` if it is not configured."""
        ...
