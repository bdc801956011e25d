"""Owns what a verified webhook can mean to Refit, as a closed union; refuses to read signatures, headers or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Push:
    """A branch moved. ``before`` is a hint only (zeros, or orphaned by a forced push): the base comes from lineage.
    ``default_branch`` is the repository's, which a new branch is compared with (``""``: not known)."""

    repository: str
    ref: str
    before: str
    after: str
    forced: bool
    author: str
    message: str
    default_branch: str = ""

    @property
    def branch(self) -> str:
        return self.ref.removeprefix("refs/heads/")


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A pull request got a new head. ``from_fork`` decides whose ``refit.yaml`` is believed."""

    repository: str
    number: int
    action: str
    head: str
    head_ref: str
    base: str
    base_ref: str
    author: str
    association: str
    from_fork: bool
    title: str
    draft: bool = False

    @property
    def ref(self) -> str:
        return f"refs/pull/{self.number}/head"


@dataclass(frozen=True, slots=True)
class Closed:
    """A ref is gone (branch deleted, pull request closed): work in flight for it alone is no longer wanted."""

    repository: str
    ref: str
    why: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """Understood and deliberately without consequence; ``why`` is shown to whoever asks what became of the delivery."""

    repository: str
    why: str


Event = Push | PullRequest | Closed | Nothing


@dataclass(frozen=True, slots=True)
class Delivery:
    """One verified webhook as it is stored before it is answered.

    ``guid`` is GitHub's ``X-GitHub-Delivery``, the same on a redelivery; ``event`` is what it means to Refit.
    """

    guid: str
    name: str
    action: str
    event: Event
    received_at: datetime
