"""Owns what is done from time to time beside the queues; refuses work that must not be lost: a chore only looks again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from service.domain.errors import Refused, Retry
from service.flow.assess import Assessor
from service.flow.mirror import Mirror
from service.flow.sweep import Sweeper
from service.ports.git_host import GitHost

_LOOK_SECONDS = 1.0

log = structlog.get_logger("refit.worker")


@dataclass(frozen=True)
class Chore:
    """``act`` is called for each repository at the start and then ``every`` so many seconds."""

    name: str
    every: float
    act: Callable[[str], None]


class Chores:
    """Calls chores one after the other on a thread of its own until ``stop``; a failure is logged and tried again."""

    def __init__(self, chores: Sequence[Chore], repositories: Collection[str]) -> None:
        self._repositories = tuple(repositories)
        self._due = dict.fromkeys(chores, 0.0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            for chore, due in self._due.items():
                if time.monotonic() >= due and not self._stopping.is_set():
                    self._do(chore)
                    self._due[chore] = time.monotonic() + chore.every

    def _do(self, chore: Chore) -> None:
        for repository in self._repositories:  # one that is away must not hide the others
            try:
                chore.act(repository)
            except (Refused, Retry) as error:
                log.warning(chore.name, repository=repository, reason=error.reason)
            except Exception:
                log.exception(chore.name, repository=repository)


def sweeping(sweeper: Sweeper) -> Callable[[str], None]:
    """Look for webhooks that never came."""

    def sweep(repository: str) -> None:
        for delivery in sweeper.sweep(repository):
            log.warning("a webhook never came", repository=repository, delivery=delivery.guid)

    return sweep


def mirroring(mirror: Mirror) -> Callable[[str], None]:
    """Say approvals over, from here to a vendor's registry and back."""

    def look(repository: str) -> None:
        for sentence in mirror.look(repository):
            log.info("approval", repository=repository, said=sentence)

    return look


def auditing(assessor: Assessor, hosts: GitHost) -> Callable[[str], None]:
    """Recompute the latest assessment from nothing and report any disagreement as the bug that it is."""

    def audit(repository: str) -> None:
        wrong = assessor.audit(repository, hosts.repository(repository))
        if wrong:
            log.error("audit disagrees", repository=repository, components=[f"{p}/{c}" for p, c in wrong])

    return audit
