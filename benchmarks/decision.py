"""Owns how long Refit takes to decide what a push runs, beside git's own comparison of the same trees; refuses to run it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import dvc
from benchmarks.measure import ROOT, SCRATCH, Report, percentile, progress, settle
from benchmarks.monorepo import Monorepo, monorepo
from benchmarks.past import succeed
from service.adapters.backends.local.objects import Objects
from service.bootstrap.server import Runtime, runtime
from service.domain.execution import Execution
from service.flow.schedule import Request
from service.settings import Settings

NAME, MAIN = "acme/mono", "refs/heads/main"
SENTINEL = b"refit-benchmark\n"


@dataclass
class Timings:
    """One kind of push: seconds since it was there to be read, each time it was made."""

    decided: list[float] = field(default_factory=list)
    stored: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    planned: list[int] = field(default_factory=list)


class Floor:
    """``git diff-tree --stdin``, started once: nobody who asks git what changed can be faster."""

    def __init__(self, mirror: Path) -> None:
        command = ["git", "--git-dir", str(mirror), "diff-tree", "--stdin", "-r", "-z", "--raw", "--no-renames"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def between(self, old: str, new: str) -> None:
        assert self._process.stdin and self._process.stdout, "started with pipes"
        self._process.stdin.write(f"{old} {new}\n".encode() + SENTINEL)  # the second line makes git flush
        said = b""
        while not said.endswith(SENTINEL):
            said += self._process.stdout.read(1 << 16)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class Bench:
    """A service that knows the generated repository and in which everything has succeeded so far."""

    def __init__(self, made: Runtime, pushed: Monorepo) -> None:
        self.made, self.pushed = made, pushed
        self.repository = made.scheduler.hosts.repository(NAME)
        self.objects = Objects(made.settings.home / "local" / "objects")
        self.tip: str = ""
        self.pushes = 0

    def first(self) -> tuple[float, float]:
        """The repository's first push: everything runs. Seconds for the findings and for the plans with their storing."""
        self.repository.fetch(self.pushed.base)
        request, began = self.request(self.pushed.base), time.perf_counter()
        prepared = self.made.scheduler.prepare(request)
        found = time.perf_counter()
        with self.made.database.begin() as work:
            executions = self.made.scheduler.store_plans(work, request, prepared)
        ended = time.perf_counter()
        self.settle(executions)
        self.tip = self.pushed.base
        return found - began, ended - found

    def request(self, sha: str) -> Request:
        """As a push to main makes it."""
        self.pushes += 1
        commit = self.repository.commit(sha)
        return Request(NAME, MAIN, commit, f"delivery-{time.time_ns()}", "ada", self.tip or None)

    def push(self, files: Mapping[str, str], kept: Timings, floor: Floor) -> None:
        """Push, fetch, decide, store; then everything that shall run has succeeded."""
        sha = self.pushed.push(files, "a push", self.tip)
        self.repository.fetch(sha)
        old, new = self.repository.commit(self.tip).tree, self.repository.commit(sha).tree
        if self.pushes % 2:  # neither of the two always finds the files in the machine's cache
            kept.floor.append(_seconds(lambda: floor.between(old, new)))
        scheduler, began = self.made.scheduler, time.perf_counter()
        request = self.request(sha)
        prepared = scheduler.prepare(request)
        with self.made.database.begin() as work:
            executions = scheduler.store_plans(work, request, prepared)
            decided = time.perf_counter()
        stored = time.perf_counter()
        if len(kept.floor) == len(kept.decided):
            kept.floor.append(_seconds(lambda: floor.between(old, new)))
        kept.decided.append(decided - began)
        kept.stored.append(stored - began)
        kept.planned.append(len(executions))
        self.settle(executions)
        self.tip = sha

    def settle(self, executions: list[Execution]) -> None:
        for start in range(0, len(executions), 100):
            succeed(self.made, executions[start : start + 100], self.objects)


@contextmanager
def opened(home: Path, pushed: Monorepo) -> Iterator[Bench]:
    settings = Settings(home=home, repositories={NAME: f"file://{pushed.folder}"}, git_protocols="file")
    with runtime(settings) as made:
        yield Bench(made, pushed)


def run(rounds: int = 40) -> None:
    report = Report("decision", "Decision: push fetched → plans ready; 1,000 pipelines, 100,000 files")
    pushed = monorepo(SCRATCH / "monorepo.git")
    with tempfile.TemporaryDirectory(prefix="refit-decision-", dir=SCRATCH) as folder:
        home = Path(folder) / "home"
        progress.print("decision: the first push of everything")
        with opened(home, pushed) as bench:
            found, planned = bench.first()
        tip = pushed.base
        with opened(home, pushed) as bench:
            bench.tip = tip
            bench.made.assessor.at(NAME, bench.repository, tip)
            settle()
            with closing(Floor(home / "mirrors" / "acme__mono.git")) as floor:
                _warm(bench, floor, report, rounds)
            tip = bench.tip
        report.add("first push ever: read 100,000 files", "ms", [found * 1_000])
        report.add("first push ever: plan and store 1,000 executions", "ms", [planned * 1_000])
        _cold(home, pushed, tip, report)
    _beside_dvc(report, rounds)
    report.note(
        "A decision is the findings and the plans written into the open transaction; 'stored' is its commit too."
    )
    report.note("Reference: git diff-tree --stdin, long-lived, on the same two trees in the same run.")
    report.publish()


def _warm(bench: Bench, floor: Floor, report: Report, rounds: int) -> None:
    pushed = bench.pushed
    kinds: dict[str, tuple[Callable[[int], Mapping[str, str]], int | None, int]] = {
        "one parameter": (lambda n: pushed.parameter(n % pushed.pipelines, f"0.{n:04}1"), 10, rounds),
        "300 files": (lambda n: pushed.wide(300, str(n)), 150, max(5, rounds // 4)),
        "comment in a library of all": (lambda n: pushed.comment(str(n)), None, max(5, rounds // 4)),
        "README only": (lambda n: pushed.readme(str(n)), None, max(5, rounds // 4)),
        "refit.yaml: another pipeline": (lambda n: pushed.new_pipeline(str(n)), None, max(5, rounds // 8)),
    }
    for name, (files, bound, times) in kinds.items():
        progress.print(f"decision: {name}")
        kept = Timings()
        bench.push(files(9_000), Timings(), floor)  # the first of its kind warms up
        for number in range(times):
            bench.push(files(number), kept, floor)
        _tell(report, name, kept, bound)


def _tell(report: Report, name: str, kept: Timings, bound: int | None) -> None:
    decided, floors = ([1_000 * one for one in values] for values in (kept.decided, kept.floor))
    median, ground = statistics.median(decided), statistics.median(floors)
    what = f"{name} ({statistics.median(kept.planned):.0f} executions made)"
    more = {"bound": f"≤ {bound} ms", "kept": median <= bound} if bound else {}
    report.add(what, "ms", decided, ratio=median / ground, to="× git diff-tree", **more)
    report.add(f"{name}: 90th percentile", "ms", [percentile(decided, 0.9)])
    report.add(f"{name}: stored", "ms", [1_000 * one for one in kept.stored])
    report.add(f"{name}: git diff-tree", "ms", floors)


def _cold(home: Path, pushed: Monorepo, tip: str, report: Report) -> None:
    """The first decision of a process that has just started."""
    progress.print("decision: cold start")
    sha = pushed.push(pushed.parameter(7, "0.77"), "cold", tip)
    for name, empty, times in (("facts known", False, 3), ("no fact known", True, 1)):
        began, first, whole = [], [], []
        for _ in range(times):
            with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
                copy = Path(folder) / "home"
                shutil.copytree(home, copy)
                if empty:
                    with closing(sqlite3.connect(copy / "refit.db")) as database, database:
                        database.execute("delete from facts")
                start = time.perf_counter()
                command = [sys.executable, "-m", "benchmarks.decision", str(copy), str(pushed.folder), tip, sha]
                done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
                whole.append((time.perf_counter() - start) * 1_000)
                said = json.loads(done.stdout)
                began.append(said["ready"])
                first.append(said["decided"])
        report.add(f"cold start, {name}: process ready", "ms", began)
        report.add(f"cold start, {name}: first decision (one parameter)", "ms", first)
        report.add(f"cold start, {name}: process from start to end", "ms", whole)


def _beside_dvc(report: Report, rounds: int) -> None:
    """The same on a repository of 201 steps, small enough for `dvc status`."""
    if dvc.command() is None:
        dvc.beside(report, Monorepo(Path(), 0, ""), Path(), ())
        return
    pushed = monorepo(SCRATCH / "monorepo-small.git", dvc.PIPELINES, 0)
    scratch = tempfile.TemporaryDirectory(prefix="refit-decision-", dir=SCRATCH)
    with scratch as folder, opened(Path(folder) / "home", pushed) as bench:
        bench.first()
        with closing(Floor(Path(folder) / "home" / "mirrors" / "acme__mono.git")) as floor:
            kept = Timings()
            bench.push(pushed.parameter(9, "0.001"), Timings(), floor)
            for number in range(rounds):
                bench.push(pushed.parameter(number % pushed.pipelines, f"0.{number:04}1"), kept, floor)
        dvc.beside(report, pushed, Path(folder), [1_000 * one for one in kept.decided])


def _first_decision(home: str, repository: str, tip: str, sha: str) -> None:
    """In a process of its own: from its start to a wired service, and from there to the plans of one push."""
    pushed = Monorepo(Path(repository), 0, tip)
    with opened(Path(home), pushed) as bench:
        bench.tip = tip
        ready = (time.time() - _started()) * 1_000
        bench.repository.fetch(sha)
        began = time.perf_counter()
        request = bench.request(sha)
        prepared = bench.made.scheduler.prepare(request)
        with bench.made.database.begin() as work:
            bench.made.scheduler.store_plans(work, request, prepared)
            decided = (time.perf_counter() - began) * 1_000
    print(json.dumps({"ready": ready, "decided": decided}))


def _started() -> float:
    """When this process was started, by the kernel's clock."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - (uptime - ticks / 100)


def _seconds(act: object) -> float:
    began = time.perf_counter()
    act()  # type: ignore[operator]
    return time.perf_counter() - began


if __name__ == "__main__":
    _first_decision(*sys.argv[1:])
