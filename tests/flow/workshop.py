"""Owns the arrows from commit to lineage, wired as the server wires them, in one thread: real git, real steps, a real
database; refuses webhooks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import uv

from service.adapters.backends import make_backend
from service.adapters.clock import SystemClock
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.bootstrap.parts import StoredFacts
from service.domain.execution import Execution
from service.domain.plan import Plan
from service.flow.assess import Assessor
from service.flow.schedule import Request, Scheduler
from service.ports.backend import Backend
from service.ports.definitions import Definitions
from service.ports.queues import Queue
from service.worker.handlers import Handlers
from tests.flow.conftest import NAME
from tests.origins import Files, Origin

MAIN = "refs/heads/main"


class Workshop:
    """Pushes a commit, plans it, and carries its execution out."""

    def __init__(
        self,
        store: Database,
        pushed: Origin,
        hosts: MirrorHost,
        reader: IsolatedReader,
        root: Path,
        *,
        more: Mapping[str, Backend] | None = None,
        definitions: Definitions | None = None,
    ) -> None:
        """``more`` are backends beside the local one, by name."""
        self.store, self.pushed, self.hosts = store, pushed, hosts
        self.clock = SystemClock()
        self.backend = make_backend("local", root / "local", uv=uv.find_uv_bin())
        backends = {"local": self.backend, **(more or {})}
        assessor = Assessor(reader, StoredFacts(store), tuple(backends), definitions)
        self.scheduler = Scheduler(store, hosts, assessor, backends, self.clock)
        slots = {name: backend.slots or 2 for name, backend in backends.items()}
        self.driver = Handlers(self.scheduler, slots, (), (NAME,)).driver()

    def push(self, files: Files, ref: str = MAIN, parents: tuple[str, ...] = ()) -> str:
        sha = self.pushed.commit(files, ref, parents)
        self.hosts.repository(NAME).fetch(sha)
        return sha

    def request(self, sha: str, ref: str = MAIN, base: str | None = None, **more: object) -> Request:
        commit = self.hosts.repository(NAME).commit(sha)
        return Request(NAME, ref, commit, self.clock.new_id(), "ada", base, **more)  # type: ignore[arg-type]

    def plan(self, sha: str, ref: str = MAIN, base: str | None = None, **more: object) -> Plan:
        request = self.request(sha, ref, base, **more)
        prepared = self.scheduler.prepare(request)
        (plan,) = self.scheduler.plans(request, prepared)
        return plan

    def begin(self, sha: str, ref: str = MAIN, base: str | None = None, **more: object) -> Execution:
        """Store the execution, without moving it."""
        request = self.request(sha, ref, base, **more)
        prepared = self.scheduler.prepare(request)
        with self.store.begin() as work:
            (execution,) = self.scheduler.store_plans(work, request, prepared)
        return execution

    def carry_out(self, sha: str, ref: str = MAIN, base: str | None = None, **more: object) -> Execution:
        """The execution of a commit, from plan to end."""
        return self.finish(self.begin(sha, ref, base, **more).id)

    def finish(self, id: str) -> Execution:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            execution = self.look(id)
            if execution.ended_at is not None:
                return execution
            self.drive()
        raise AssertionError(f"never ended: {self.look(id)}")

    def drive(self) -> None:
        """One move of every execution that is due."""
        with self.store.begin() as work:
            leases = work.jobs.claim(Queue.EXECUTIONS, 10, 60.0)
        for lease in leases:
            self.driver.drive(lease)
        if not leases:
            self.store.wait(0.2)

    def look(self, id: str) -> Execution:
        with self.store.begin() as work:
            found = work.executions.get(id)
        assert found is not None
        return found


def decisions(plan: Plan) -> dict[str, str]:
    return {step.component.name: step.decision.value for step in plan.steps}


def reasons(plan: Plan) -> dict[str, list[str]]:
    return {step.component.name: [reason.kind for reason in step.reasons] for step in plan.steps}


def states(execution: Execution) -> Mapping[str, str]:
    return {step.name: step.state.value for step in execution.steps}
