"""Owns job → arrow: which arrows a delivery, an execution and a notice go through; refuses rules of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from service.domain.acts import Promote, Record
from service.domain.admission import Declined, admit, triggered_by, wants_skip
from service.domain.delivery import Closed, PullRequest, Push
from service.domain.errors import Refused, Retry
from service.domain.execution import Execution
from service.domain.names import short
from service.domain.plan import History
from service.flow import announce, conclude, schedule
from service.flow.drive import Driver
from service.ports.git_host import Repository
from service.ports.notifier import Notifier
from service.ports.queues import Lease
from service.ports.store import Store, Work

_PATIENCE = 5
"""Attempts at a delivery whose commit the host does not show, before the ref's present head is planned instead."""


@dataclass(frozen=True)
class Handlers:
    """Everything that jobs need, wired once by bootstrap."""

    scheduler: schedule.Scheduler
    slots: Mapping[str, int]
    notifiers: Sequence[Notifier]
    configured: Collection[str]

    @property
    def store(self) -> Store:
        return self.scheduler.store

    # deliveries ------------------------------------------------------------------------------------------------------

    def delivery(self, lease: Lease) -> None:
        """Decide what a delivery leads to, and store that with its end in one unit of work."""
        with self.store.begin() as work:
            stored = work.deliveries.get(lease.id)
        if stored is None:
            raise Refused(f"delivery {lease.id} is not stored")
        event = stored.delivery.event
        admitted = admit(event, tuple(self.configured))
        if isinstance(admitted, Declined):
            return self._settle(lease, admitted.why)
        # GitHub's names know no case; the operator's spelling is the one that history is kept under.
        event = replace(event, repository=next(n for n in self.configured if n.lower() == event.repository.lower()))
        match event:
            case Closed(repository=repository, ref=ref, why=why):
                self._close(lease, repository, ref, why)
            case Push():
                self._push(lease, event)
            case PullRequest():
                self._pull_request(lease, event, admitted.needs_approval)

    def _settle(self, lease: Lease, outcome: str, executions: Sequence[Execution] = ()) -> None:
        with self.store.begin() as work:
            work.deliveries.settle(lease, outcome, [execution.id for execution in executions])

    def _close(self, lease: Lease, repository: str, ref: str, why: str) -> None:
        with self.store.begin() as work:
            stopped = [e.id for e in work.executions.live(repository, ref) if work.executions.mark(e.id, cancelled=why)]
            work.deliveries.settle(lease, f"{why}; stopped {len(stopped)}", stopped)

    def _push(self, lease: Lease, event: Push) -> None:
        repository = self.scheduler.hosts.repository(event.repository)
        heads = repository.fetch()
        head = heads.get(event.ref)
        if head is None:
            return self._settle(lease, f"{event.branch} is gone by now")
        if head != event.after and self._lags(repository, head, event.after, lease.attempt):
            raise Retry(f"{event.branch} does not show {short(event.after)} yet")
        with self.store.begin() as work:
            previous = work.executions.planned(event.repository, event.ref)
            tip = work.executions.tip(event.repository, event.ref)
        stopping = previous is not None and previous.commit == head and previous.is_stopping
        if tip == head and not stopping:
            known = f" as {previous.id}" if previous is not None and previous.commit == head else ""
            return self._settle(lease, f"{event.branch} is at {short(head)}, planned already{known}")
        default = f"refs/heads/{event.default_branch}" if event.default_branch else ""
        base = schedule.readable_base(repository, tip, event.before)
        if base is None and default in heads and default != event.ref:  # a new branch: compare with where it left
            base = repository.merge_base(heads[default], head)
        request = schedule.Request(
            repository=event.repository,
            ref=event.ref,
            commit=repository.commit(head),
            trigger=lease.id,
            author=event.author,
            base=base,
            base_ref=default,
        )
        self._plan(lease, request, branch=event.branch, kind="push")

    def _lags(self, repository: Repository, head: str, after: str, attempt: int) -> bool:
        """Whether the host's refs are older than its webhook: then wait. A head that is not older supersedes it."""
        try:
            repository.commit(after)
        except Refused:
            return attempt < _PATIENCE
        return repository.merge_base(head, after) == head

    def _pull_request(self, lease: Lease, event: PullRequest, needs_approval: str) -> None:
        repository = self.scheduler.hosts.repository(event.repository)
        repository.fetch(event.head, event.base)
        commit = repository.commit(event.head)
        if wants_skip(commit.message):
            return self._settle(lease, "the head commit's message asks to skip")
        request = schedule.Request(
            repository=event.repository,
            ref=event.ref,
            commit=commit,
            trigger=lease.id,
            author=event.author,
            base=repository.merge_base(event.base, event.head) or event.base,
            base_ref=f"refs/heads/{event.base_ref}",
            manifest_at=event.base if event.from_fork else None,
            pull_request=event.number,
            needs_approval=needs_approval,
        )
        return self._plan(lease, request, branch=event.base_ref, kind="pull_request")

    def _plan(self, lease: Lease, request: schedule.Request, *, branch: str, kind: str) -> None:
        try:
            prepared = self.scheduler.prepare(request)
        except Refused as refusal:  # the user's commit, not our failure: the delivery is done, with this answer
            return self._settle(lease, f"{short(request.commit.sha)}: {refusal.reason}")
        triggers = prepared.findings.after.manifest.triggers
        if not triggered_by(branch, triggers.push if kind == "push" else triggers.pull_request):
            return self._settle(lease, f"refit.yaml does not trigger on {kind} to {branch}")
        with self.store.begin() as work:
            made = self.scheduler.store_plans(work, request, prepared)
            outcome = schedule.describe(made, request.commit.sha, len(prepared.standing))
            work.deliveries.settle(lease, outcome, [execution.id for execution in made])
        return None

    # executions ------------------------------------------------------------------------------------------------------

    def driver(self) -> Driver:
        """The arrow that moves executions, with the two that write lineage."""
        return Driver(
            store=self.store,
            hosts=self.scheduler.hosts,
            backends=self.scheduler.backends,
            slots=self.slots,
            clock=self.scheduler.clock,
            history=self._history,
            conclude=self._conclude,
            ended=self._ended,
        )

    def _history(self, work: Work, execution: Execution) -> History:
        return self.scheduler.history(work, execution)

    def _conclude(self, work: Work, execution: Execution, action: Record | Promote) -> None:
        match action:
            case Record():
                conclude.record(work, execution, action, self.scheduler.clock.now())
            case Promote():
                conclude.promote(work, execution, action, self.scheduler.clock.now())

    def _ended(self, work: Work, execution: Execution) -> Execution:
        judged = conclude.judge(work, execution)
        conclude.register(work, judged, self.scheduler.clock.now())
        conclude.register_native(work, judged, self.scheduler.clock.now())
        work.notices.enqueue(execution.id)
        return judged

    # notices ---------------------------------------------------------------------------------------------------------

    def notice(self, lease: Lease) -> None:
        announce.announce(self.store, lease.id, self.notifiers)
        with self.store.begin() as work:
            work.jobs.finish(lease)
