"""What is remembered across commits, branches and versions: nothing is computed twice, and no failure is forgotten."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import Execution, Status
from service.domain.facts import VERSION
from service.domain.lineage import ResultRecord
from service.domain.pipeline import Component, UpstreamInput
from service.domain.plan import full_key
from service.domain.step_key import Part, PartKind, Parts, key_of
from service.ports.queues import Queue
from service.ports.store import ResultFilter
from tests.flow.conftest import NAME
from tests.flow.workshop import MAIN, Workshop, decisions, reasons, states
from tests.origins import Origin

MANIFEST = """\
version: 1
pipelines:
  sums:
    components:
      prep: {run: prep.py, inputs: {raw: data.txt}, outputs: [rows]}
      train: {run: train.py, inputs: {rows: prep.rows}, outputs: [model]}
"""
FLAGS = "import sys\nf = dict(zip((w[2:] for w in sys.argv[1::2]), sys.argv[2::2]))\n"
BASE: dict[str, str] = {
    "refit.yaml": MANIFEST,
    "data.txt": "1 2 3",
    "helper.py": "scale = 1\n",
    "prep.py": FLAGS + "import helper\nwords = open(f['raw']).read().split()\n"
    "open(f['rows'], 'w').write(str([int(word) * helper.scale for word in words]))\n",
    "train.py": FLAGS + "open(f['model'], 'w').write(open(f['rows']).read() + ' v1')\n",
    "README.md": "",
}
BROKEN = {"train.py": BASE["train.py"] + "raise SystemExit('broken')\n"}
TRAIN_2 = {"train.py": BASE["train.py"].replace("v1", "v2")}
REUSED = {"prep": "reused", "train": "reused"}


@pytest.fixture
def workshop(store: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path) -> Workshop:
    return Workshop(store, pushed, hosts, reader, tmp_path)


def made(shop: Workshop) -> list[ResultRecord]:
    with shop.store.begin() as work:
        return list(work.lineage.page(ResultFilter(repository=NAME)).items)


# trap 19: a step that failed stays changed ----------------------------------------------------------------------------


def test_a_step_that_failed_stays_changed_whatever_comes_after(workshop: Workshop) -> None:
    first = workshop.push(BASE)
    assert states(workshop.carry_out(first)) == {"prep": "succeeded", "train": "succeeded"}
    broken = workshop.push({**BASE, **BROKEN}, parents=(first,))
    failed = workshop.carry_out(broken, base=first)
    assert states(failed) == {"prep": "reused", "train": "failed"}
    readme = workshop.push({**BASE, **BROKEN, "README.md": "only words"}, parents=(broken,))
    plan = workshop.plan(readme, base=broken)
    assert decisions(plan) == {"prep": "reuse", "train": "run"}, "against its base nothing changed"
    assert reasons(plan)["train"] == ["source", "failed-before"]
    assert failed.id in plan.steps[1].reasons[1].detail
    assert states(workshop.carry_out(readme, base=broken)) == {"prep": "reused", "train": "failed"}
    fixed = workshop.push({**BASE, **TRAIN_2}, parents=(readme,))
    assert states(workshop.carry_out(fixed, base=readme)) == {"prep": "reused", "train": "succeeded"}
    assert decisions(workshop.plan(readme, base=broken))["train"] == "run", "the broken content is as broken as before"


# trap 20: revert, squash-merge, cherry-pick ---------------------------------------------------------------------------


def test_a_squash_a_revert_and_a_cherry_pick_run_nothing(workshop: Workshop) -> None:
    topic, release = "refs/heads/topic", "refs/heads/release"
    first = workshop.push(BASE)
    workshop.carry_out(first)
    one = workshop.push({**BASE, "README.md": "wip"}, topic, (first,))
    two = workshop.push({**BASE, "README.md": "wip", **TRAIN_2}, topic, (one,))
    tried = workshop.carry_out(two, topic, base=first, base_ref=MAIN)
    assert states(tried) == {"prep": "reused", "train": "succeeded"}
    count = len(made(workshop))

    squash = workshop.push({**BASE, "README.md": "done", **TRAIN_2}, parents=(first,))
    merged = workshop.carry_out(squash, base=first)
    assert states(merged) == REUSED
    assert merged.step("train").result == tried.step("train").result
    revert = workshop.push(BASE, parents=(squash,))
    assert states(workshop.carry_out(revert, base=squash)) == REUSED
    other = workshop.push({**BASE, "README.md": "release"}, release, (first,))
    picked = workshop.push({**BASE, "README.md": "release", **TRAIN_2}, release, (other,))
    assert states(workshop.carry_out(picked, release, base=other)) == REUSED

    assert len(made(workshop)) == count, "nothing ran"
    with workshop.store.begin() as work:
        promoted = {one.component: one.result for one in work.lineage.promotions(commit=squash)}
    assert promoted == {step.name: step.result.id for step in merged.steps if step.result}


def test_a_change_that_makes_the_same_again_runs_nothing_further(workshop: Workshop) -> None:
    first = workshop.push(BASE)
    workshop.carry_out(first)
    same = workshop.push({**BASE, "helper.py": "scale = 2 - 1\n"}, parents=(first,))
    assert decisions(workshop.plan(same, base=first)) == {"prep": "run", "train": "pending"}
    assert states(workshop.carry_out(same, base=first)) == {"prep": "succeeded", "train": "reused"}
    other = workshop.push({**BASE, "helper.py": "scale = 2\n"}, parents=(same,))
    assert states(workshop.carry_out(other, base=same)) == {"prep": "succeeded", "train": "succeeded"}


# trap 16: a new version of the algorithm ------------------------------------------------------------------------------

OLD = "0/py3.9"


def older(record: ResultRecord, component: Component) -> ResultRecord:
    """The record as an older Refit would have written it: its parts name another algorithm, so its keys differ."""
    parts: Parts = tuple(
        Part(PartKind.ALGORITHM, part.subject, OLD) if part.kind is PartKind.ALGORITHM else part
        for part in record.parts
    )
    read = {part.subject: part.value for part in parts if part.kind is PartKind.UPSTREAM}
    sources = [source for _, source in component.inputs if isinstance(source, UpstreamInput)]
    outputs = {(s.component, s.output): read[f"{s.component}.{s.output}"] for s in sources}
    static_key = key_of(part for part in parts if part.kind is not PartKind.UPSTREAM)
    return replace(record, parts=parts, static_key=static_key, key=full_key(static_key, component, outputs))


@pytest.fixture
def upgraded(
    workshop: Workshop, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> tuple[Workshop, str]:
    """A server after an upgrade, and the commit that ran before it: all results are known by keys of the older version."""
    before = Database(f"sqlite:///{tmp_path / 'before.db'}")
    before.migrate()
    earlier = Workshop(before, pushed, hosts, reader, tmp_path)
    first = earlier.push(BASE)
    execution = earlier.carry_out(first)
    remembered(workshop, execution, [older(one, execution.pipeline.component(one.component)) for one in made(earlier)])
    before.close()
    return workshop, first


def remembered(shop: Workshop, execution: Execution, records: list[ResultRecord]) -> None:
    with shop.store.begin() as work:
        work.executions.add(replace(execution, ended_at=None))
        for record in records:
            work.lineage.add(record)
        (lease,) = work.jobs.claim(Queue.EXECUTIONS, 1, 60.0)
        work.executions.save(execution, lease)
        work.jobs.finish(lease)


def test_a_version_bump_retrains_nothing_silently(upgraded: tuple[Workshop, str]) -> None:
    shop, first = upgraded
    assert (
        {part.value for one in made(shop) for part in one.parts if part.kind is PartKind.ALGORITHM}
        == {OLD}
        != {VERSION}
    )
    readme = shop.push({**BASE, "README.md": "words"}, parents=(first,))
    plan = shop.plan(readme, base=first)
    assert decisions(plan) == {"prep": "reuse", "train": "reuse"}
    assert states(shop.carry_out(readme, base=first)) == REUSED


def test_after_a_version_bump_a_result_has_both_keys(upgraded: tuple[Workshop, str]) -> None:
    shop, first = upgraded
    plan = shop.plan(first)
    for record, step in zip(sorted(made(shop), key=lambda one: one.component), plan.steps, strict=True):
        assert record.static_key != step.static_key
        with shop.store.begin() as work:
            by_old = work.lineage.with_static_keys([record.static_key])
            by_new = work.lineage.with_static_keys([step.static_key])
        assert [one.id for one in by_old] == [one.id for one in by_new] == [record.id]
        assert (by_old[0].key, by_new[0].key) == (record.key, step.key)


def test_after_a_version_bump_a_real_change_still_runs_and_only_that(upgraded: tuple[Workshop, str]) -> None:
    shop, first = upgraded
    head = shop.push({**BASE, **TRAIN_2}, parents=(first,))
    plan = shop.plan(head, base=first)
    assert decisions(plan) == {"prep": "reuse", "train": "run"}
    assert "source" in reasons(plan)["train"]
    assert states(shop.carry_out(head, base=first)) == {"prep": "reused", "train": "succeeded"}
    assert decisions(shop.plan(first)) == {"prep": "reuse", "train": "reuse"}


def test_a_result_whose_commit_is_gone_runs_again_and_says_that_the_algorithm_changed(
    upgraded: tuple[Workshop, str], reader: IsolatedReader, tmp_path: Path
) -> None:
    shop, first = upgraded
    remade = Origin(tmp_path / "remade.git")
    hosts = MirrorHost(tmp_path / "remade-mirrors", {NAME: str(remade.path)}, protocols=("file",))
    without = Workshop(shop.store, remade, hosts, reader, tmp_path)
    head = without.push({**BASE, "README.md": "history was rewritten"})
    assert head != first
    plan = without.plan(head)
    assert decisions(plan) == {"prep": "run", "train": "run"}
    assert reasons(plan)["prep"] == ["algorithm"]
    hosts.close()


def test_a_result_of_a_fork_gets_no_key_from_the_manifest_that_was_not_believed(
    upgraded: tuple[Workshop, str],
) -> None:
    """It ran as the base's refit.yaml says; under the fork's own, which says something else, it would be another step's."""
    shop, first = upgraded
    base = shop.look(made(shop)[0].execution)
    ran_as_base_says = [one for one in made(shop) if one.component == "prep"]
    hostile = MANIFEST.replace("outputs: [rows]", "outputs: [rows], with: {image: other}")
    fork = shop.push({**BASE, "refit.yaml": hostile}, "refs/pull/7/head", (first,))
    pretended = [replace(one, id=f"fork-{one.id}", execution="fork", commit=fork, ref="refs/pull/7/head", pull_request=7,
                         key=f"k{one.key[1:]}", static_key=f"k{one.static_key[1:]}") for one in ran_as_base_says]  # fmt: skip
    remembered(shop, replace(base, id="fork", commit=fork, ref="refs/pull/7/head", trigger="fork"), pretended)
    merged = shop.push({**BASE, "refit.yaml": hostile}, parents=(first,))
    plan = shop.plan(merged, "refs/pull/7/head", base=first)
    assert decisions(plan)["prep"] == "run", "nothing has run with that image"


# a cancel that a crash cut off ----------------------------------------------------------------------------------------


def test_a_cancel_reaches_a_step_whose_handle_was_lost(workshop: Workshop, tmp_path: Path) -> None:
    """The worker died between submitting and noting the handle, and again between deciding to cancel and cancelling."""
    slow = FLAGS + f"import os, time\nopen({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)\n"
    execution = workshop.begin(workshop.push({**BASE, "prep.py": slow}))
    until_running(workshop, execution.id, tmp_path / "pid")
    moved = workshop.look(execution.id)
    (attempt,) = moved.step("prep").attempts
    forgotten = replace(moved.step("prep"), attempts=(replace(attempt, handle=None, cancelling=True),))
    with workshop.store.begin() as work:
        (lease,) = work.jobs.claim(Queue.EXECUTIONS, 1, 60.0) or [None]
        work.executions.save(replace(moved, steps=(forgotten, *moved.steps[1:])), lease)
        work.executions.mark(execution.id, cancelled="by ada")
        if lease:
            work.jobs.defer(lease, 0.0, counts=False)
    ended = workshop.finish(execution.id)
    assert ended.status is Status.CANCELLED
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def until_running(shop: Workshop, id: str, sign: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (sign.exists() and sign.read_text()):
        shop.drive()
    assert sign.read_text()
