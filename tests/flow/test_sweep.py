"""A webhook that never came is found by looking: twice, so that a late one has its chance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.clock import SystemClock
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.cli.demo.git_server import run_git
from service.domain.delivery import Closed, Push
from service.domain.execution import RERUN
from service.domain.names import ZERO_SHA
from service.flow.sweep import Sweeper
from tests import records

NAME = "acme/diamonds"


class Origin:
    """A repository that moves without telling anybody."""

    def __init__(self, path: Path) -> None:
        self.path = path
        run_git("init", "--quiet", "--initial-branch=main", str(path))
        for key, value in (("user.name", "Ada"), ("user.email", "a@example.org")):
            self.git("config", key, value)

    def git(self, *words: str) -> str:
        return run_git(*words, cwd=self.path)

    def commit(self, message: str) -> str:
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path / "origin")


@pytest.fixture
def sweeper(store: Database, origin: Origin, tmp_path: Path) -> Iterator[Sweeper]:
    hosts = MirrorHost(tmp_path / "mirrors", {NAME: str(origin.path)}, protocols=("file",))
    yield Sweeper(store, hosts, SystemClock())
    hosts.close()


def planned(store: Database, sha: str, ref: str = "refs/heads/main", **changes: object) -> str:
    execution = records.execution(commit=sha, ref=ref, **changes)
    with store.begin() as work:
        work.executions.add(execution)
    return execution.id


def test_a_head_that_was_never_planned_becomes_a_push_at_the_second_look(
    sweeper: Sweeper, store: Database, origin: Origin
) -> None:
    first = origin.commit("first")
    planned(store, first)
    second = origin.commit("second [skip ci]")
    assert sweeper.sweep(NAME) == []
    (delivery,) = sweeper.sweep(NAME)
    assert delivery.event == Push(NAME, "refs/heads/main", first, second, False, "Ada", "second [skip ci]")
    assert sweeper.sweep(NAME) == [], "it is stored already"
    with store.begin() as work:
        stored = work.deliveries.get(delivery.guid)
    assert stored is not None
    assert stored.delivery.event == delivery.event


def test_a_webhook_that_came_meanwhile_leaves_nothing_to_do(sweeper: Sweeper, store: Database, origin: Origin) -> None:
    planned(store, origin.commit("first"))
    second = origin.commit("second")
    assert sweeper.sweep(NAME) == []
    planned(store, second)
    assert sweeper.sweep(NAME) == []
    assert sweeper.sweep(NAME) == []


def test_what_is_planned_untracked_or_a_rerun_is_left_alone(sweeper: Sweeper, store: Database, origin: Origin) -> None:
    first = origin.commit("first")
    second = origin.commit("second")
    origin.git("branch", "never-planned", first)
    planned(store, second)
    planned(store, first, trigger=f"{RERUN}1")
    planned(store, ZERO_SHA, ref="refs/pull/3/head")
    assert [sweeper.sweep(NAME) for _ in range(3)] == [[], [], []]


def test_a_branch_that_is_gone_ends_what_still_runs_for_it(sweeper: Sweeper, store: Database, origin: Origin) -> None:
    first = origin.commit("first")
    origin.git("branch", "topic")
    planned(store, first, ref="refs/heads/topic")
    assert sweeper.sweep(NAME) == []
    origin.git("branch", "--delete", "--force", "topic")
    assert sweeper.sweep(NAME) == []
    (delivery,) = sweeper.sweep(NAME)
    assert isinstance(delivery.event, Closed)
    assert delivery.event.ref == "refs/heads/topic"
