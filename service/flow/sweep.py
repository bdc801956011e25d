"""Owns what no webhook brought: a tracked branch whose head was never planned becomes a delivery like any other; refuses
to plan, and to start tracking a branch by itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from service.domain.delivery import Closed, Delivery, Push
from service.ports.clock import Clock
from service.ports.git_host import GitHost, Repository
from service.ports.store import Store

_BRANCH = "refs/heads/"


@dataclass
class Sweeper:
    """Compares each branch that was ever planned with what the remote has. GitHub does not redeliver by itself, so a lost
    webhook would otherwise be noticed by the next push. Pull requests are not swept: git does not tell which are open."""

    store: Store
    hosts: GitHost
    clock: Clock
    _missing: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)

    def sweep(self, name: str) -> list[Delivery]:
        """One round for one repository; the deliveries that were stored. A head counts as missed when two rounds in a row
        saw it unplanned: a webhook has that long to come. Raises what the fetch raised."""
        before = self._missing.get(name, frozenset())
        found = self._unplanned(name, self.hosts.repository(name))
        self._missing[name] = frozenset((event.ref, head) for event, head in found)
        late = [(event, head) for event, head in found if (event.ref, head) in before]
        return [delivery for event, head in late if (delivery := self._deliver(event, head))]

    def _unplanned(self, name: str, repository: Repository) -> list[tuple[Push | Closed, str]]:
        with self.store.read() as work:
            tips = work.executions.tips(name)
            live = {ref for ref in tips if work.executions.live(name, ref)}
        heads = repository.fetch()
        found: list[tuple[Push | Closed, str]] = []
        for ref, planned in tips.items():
            head = heads.get(ref) if ref.startswith(_BRANCH) else planned
            if head is None and ref in live:
                found.append((Closed(name, ref, f"{ref} is gone from the remote"), planned))
            elif head is not None and head != planned:
                commit = repository.commit(head)
                found.append((Push(name, ref, planned, head, False, commit.author, commit.message), head))
        return found

    def _deliver(self, event: Push | Closed, head: str) -> Delivery | None:
        """Its identifier derives from what it says, so that it is stored once, however many workers sweep."""
        text = f"{event.repository} {event.ref} {type(event).__name__} {head}"
        guid = f"sweep-{hashlib.sha256(text.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"
        delivery = Delivery(guid, "push", "", event, self.clock.now())
        with self.store.begin() as work:
            (fresh,) = work.deliveries.add([delivery])
        return delivery if fresh else None
