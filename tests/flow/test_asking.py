"""Backends and Git hosts are asked between units of work, never within one: a slow cloud must not hold the only writer."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uv

from service.adapters.backends import make_backend
from service.adapters.backends.sagemaker.backend import SageMakerBackend
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import Execution, Observation
from service.domain.plan import History
from service.domain.selection import Source
from service.ports.backend import Backend, LogLine, Work
from service.ports.queues import Queue
from service.ports.store import Work as StoreWork
from tests.emulators.sagemaker.process import SageMaker, reachable
from tests.flow.test_remembering import BASE as SUMS
from tests.flow.workshop import Workshop, states
from tests.native import BACKEND, FILES, STEPS, backend, edited
from tests.origins import Origin

HERE = SUMS["refit.yaml"].replace("  sums:\n", "  sums:\n    backend: here\n")


class Watch:
    """Tries, as whatever is asked begins, whether another could write: while a unit of work is open, SQLite lets nobody."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self.asked: list[str] = []
        self.within: list[str] = []

    def __call__(self, what: str) -> None:
        self.asked.append(what)
        with closing(sqlite3.connect(self._database, timeout=0, isolation_level=None)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                self.within.append(what)


class Watched:
    """Implements the backend by a real one, and calls ``watch`` before each verb."""

    def __init__(self, backend: Backend, watch: Callable[[str], None]) -> None:
        self._backend = backend
        self._watch = watch
        self.composes, self.slots = backend.composes, backend.slots
        self.held: list[frozenset[str]] = []

    def submit(self, works: Sequence[Work]) -> Sequence[str]:
        self._watch("submit")
        return self._backend.submit(works)

    def observe(self, handle: str) -> Observation:
        self._watch("observe")
        return self._backend.observe(handle)

    def cancel(self, handle: str) -> None:
        self._watch("cancel")
        self._backend.cancel(handle)

    def logs(self, handle: str, after: int, limit: int) -> Sequence[LogLine]:
        self._watch("logs")
        return self._backend.logs(handle, after, limit)

    def holds(self, digests: Sequence[str]) -> frozenset[str]:
        self.held.append(frozenset(digests))
        self._watch("holds")
        return self._backend.holds(digests)

    def examine(self) -> Sequence[str]:
        self._watch("examine")
        return self._backend.examine()

    def sources(self, repository: str, pipeline: str, wanted: Mapping[str, Mapping[str, str]]) -> Sequence[Source]:
        self._watch("sources")
        assert isinstance(self._backend, SageMakerBackend)
        return self._backend.sources(repository, pipeline, wanted)


class WatchedHosts:
    """Implements the Git host by a real one, and calls ``watch`` before all that is asked of a repository."""

    def __init__(self, hosts: MirrorHost, watch: Callable[[str], None]) -> None:
        self._hosts = hosts
        self._watch = watch

    def repository(self, name: str) -> Any:
        return _WatchedRepository(self._hosts.repository(name), self._watch)


class _WatchedRepository:
    def __init__(self, repository: object, watch: Callable[[str], None]) -> None:
        self._repository = repository
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        self._watch(f"git {name}")
        return getattr(self._repository, name)


@pytest.fixture
def watch(sqlite: Database, tmp_path: Path) -> Watch:
    return Watch(tmp_path / "refit.db")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SageMaker]:
    with reachable(tmp_path / "sagemaker") as made:
        yield made


def test_the_watch_sees_an_open_unit_of_work(sqlite: Database, watch: Watch) -> None:
    watch("before")
    with sqlite.read():
        watch("in a view")
    with sqlite.begin():
        watch("in a unit of work")
    assert watch.within == ["in a unit of work"]


def test_a_native_pipeline_is_planned_and_driven_without_asking_within_a_unit_of_work(
    cloud: SageMaker, sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path,
    compiled: Path, watch: Watch,
) -> None:  # fmt: skip
    real, definitions = backend(cloud, tmp_path / "aws", compiled)
    watched: Any = WatchedHosts(hosts, watch)
    shop = Workshop(
        sqlite, pushed, watched, reader, tmp_path, more={BACKEND: Watched(real, watch)}, definitions=definitions
    )
    head = shop.push(FILES)
    first = shop.carry_out(head)
    assert states(first) == dict.fromkeys(STEPS, "succeeded")
    second = shop.push(edited("ml/merge.py", "'total', total", "'total is', total"), parents=(head,))
    assert states(shop.carry_out(second, base=head))["Left"] == "reused"
    assert states(shop.finish(shop.scheduler.rerun(first.id, "ada").id)) == dict.fromkeys(STEPS, "reused")
    assert {"submit", "observe", "holds", "sources", "git tree", "git export"} <= set(watch.asked)
    assert watch.within == []


def test_a_running_step_is_cancelled_without_asking_within_a_unit_of_work(
    sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path, watch: Watch
) -> None:
    backend = make_backend("local", tmp_path / "here", uv=uv.find_uv_bin())
    shop = Workshop(sqlite, pushed, hosts, reader, tmp_path, more={"here": Watched(backend, watch)})
    sleepy = {"refit.yaml": HERE, "prep.py": "import time\ntime.sleep(100)\n"}
    id = shop.begin(shop.push({**SUMS, **sleepy})).id
    shop.drive()
    with shop.store.begin() as work:
        assert work.executions.mark(id, cancelled="cancelled by ada")
    assert states(shop.finish(id)) == {"prep": "cancelled", "train": "cancelled"}
    assert "cancel" in watch.asked
    assert watch.within == []


def test_what_came_while_the_backend_was_asked_is_asked_for_as_well(
    sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> None:
    waiting: list[Callable[[], None]] = []
    backend = make_backend("local", tmp_path / "here", uv=uv.find_uv_bin())
    here = Watched(backend, lambda what: waiting.pop()() if what == "holds" and waiting else None)
    shop = Workshop(sqlite, pushed, hosts, reader, tmp_path, more={"here": here})
    manifest = {"refit.yaml": HERE}
    head = shop.push({**SUMS, **manifest})
    shop.carry_out(head)
    later = shop.begin(shop.push({**SUMS, **manifest, "README.md": "more"}, parents=(head,)), base=head)
    other: list[Execution] = []
    elsewhere = shop.push({**SUMS, **manifest, "data.txt": "4 5"}, "refs/heads/other", (head,))
    waiting.append(lambda: other.append(shop.carry_out(elsewhere, "refs/heads/other", head)))
    assert states(shop.finish(later.id)) == {"prep": "reused", "train": "reused"}
    result = other[0].step("train").result
    assert result is not None and result.static_key == later.step("train").static_key
    assert here.held[-1] >= set(result.outputs.values())


def test_what_another_worker_made_while_a_move_was_decided_is_not_made_again(
    store: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> None:
    """On PostgreSQL, where two decide at the same time unless they are kept from it."""
    shop = Workshop(store, pushed, hosts, reader, tmp_path)
    mine = shop.begin(shop.push(SUMS), "refs/heads/mine")
    theirs = shop.begin(shop.push({**SUMS, "README.md": "more"}), "refs/heads/theirs")
    with store.begin() as work:
        leases = {lease.id: lease for lease in work.jobs.claim(Queue.EXECUTIONS, 10, 60.0)}

    def other() -> None:
        shop.driver.drive(leases[theirs.id])
        shop.finish(theirs.id)

    worker = threading.Thread(target=other)
    looks = iter((lambda: None, worker.start))  # the first is a view, before the backend is asked

    def history(work: StoreWork, execution: Execution) -> History:
        """What is known, after which another worker has a while to carry the other execution out."""
        found = shop.driver.history(work, execution)
        next(looks)()
        if worker.ident is not None:
            worker.join(4.0)
        return found

    replace(shop.driver, history=history).drive(leases[mine.id])
    worker.join()
    both = [shop.finish(mine.id), shop.look(theirs.id)]
    assert sorted(states(one)["prep"] for one in both) == ["reused", "succeeded"]


@pytest.mark.parametrize("others", [0, 1_000])
def test_the_more_runs_on_a_cloud_the_less_often_each_is_looked_at(
    sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path, others: int
) -> None:
    cloud = Watched(make_backend("local", tmp_path / "here", uv=uv.find_uv_bin()), lambda _: None)
    cloud.composes, cloud.slots = True, 10_000
    shop = Workshop(sqlite, pushed, hosts, reader, tmp_path, more={"here": cloud})
    with sqlite.begin() as work:
        for number in range(others):
            assert work.executions.occupy(f"key {number}", f"other.{number}", "here")
    alone = HERE.replace("train:", "alone:").partition("      alone:")[0]
    id = shop.begin(shop.push({**SUMS, "refit.yaml": alone, "prep.py": "import time\ntime.sleep(100)\n"})).id
    shop.drive()
    while shop.look(id).steps[0].attempts[0].started_at is None:
        shop.drive()
    with closing(sqlite3.connect(tmp_path / "refit.db")) as database:
        (due,) = database.execute("select due_at from executions").fetchone()
    assert due - time.time() > 15.0 if others else due - time.time() < 2.0
    with sqlite.begin() as work:
        assert work.executions.mark(id, cancelled="seen enough")
    shop.finish(id)
