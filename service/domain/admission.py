"""Owns who and what may start an execution; refuses to ask anybody: hosts supply facts, policy decides here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from service.domain.delivery import Closed, Event, Nothing, PullRequest, Push

_SKIP = re.compile(r"\[(?:skip ci|ci skip|no ci|skip refit|refit skip)\]", re.IGNORECASE)
_TRUSTED = frozenset({"OWNER", "MEMBER", "COLLABORATOR"})
_NEW_HEAD = frozenset({"opened", "reopened", "synchronize", "ready_for_review"})


@dataclass(frozen=True, slots=True)
class Admitted:
    """Assess it. ``needs_approval`` names why a person must say yes before anything runs (``""``: nobody need)."""

    needs_approval: str = ""


@dataclass(frozen=True, slots=True)
class Declined:
    """Do nothing, for this reason."""

    why: str


def wants_skip(message: str) -> bool:
    """Whether a commit message carries one of GitHub's skip markers or Refit's own."""
    return _SKIP.search(message) is not None


def admit(event: Event, configured: Sequence[str]) -> Admitted | Declined:
    """Whether ``event`` may be assessed at all; triggers of the manifest are asked later, once it has been read.

    ``configured`` are the operator's repository names (``owner/name``), compared without case as GitHub does.
    """
    if event.repository.lower() not in {name.lower() for name in configured}:
        return Declined(f"repository {event.repository or '(none)'} is not configured on this server")
    match event:
        case Nothing(why=why):
            return Declined(why)
        case Closed():
            return Admitted()
        case Push(message=message):
            if event.ref.startswith("refs/heads/gh-readonly-queue/"):
                return Declined("a merge queue's own branch; its pull request has been planned already")
            if wants_skip(message):
                return Declined("the head commit's message asks to skip")
            return Admitted()
        case PullRequest(action=action):
            if action not in _NEW_HEAD:
                return Declined(f"action {action!r} brings no new commit")
            if event.from_fork and event.association not in _TRUSTED:
                return Admitted(needs_approval=f"pull request from a fork by {event.author} ({event.association})")
            return Admitted()


def triggered_by(branch: str, patterns: Sequence[str]) -> bool:
    """Whether a branch name matches one of a manifest's trigger patterns (``main``, ``release/*``)."""
    return any(fnmatchcase(branch, pattern) for pattern in patterns)
