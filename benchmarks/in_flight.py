"""Owns what one worker costs that follows a thousand executions on SageMaker: calls to AWS, memory, processor; refuses AWS, and
jobs that do anything.

The emulator of the tests takes part: its jobs last until the end.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml

from benchmarks.measure import SCRATCH, Report, progress, settle
from benchmarks.memory import family, resident
from benchmarks.monorepo import new_repository, write_commit
from benchmarks.serving import Served, push, served
from tests.emulators.sagemaker.process import CREDENTIALS, SageMaker, running
from tests.sdks import SHELF, sdks

NAME, MANY, SECONDS = "acme/fleet", 1_000, 120.0
ZERO = "0" * 40
_LOOK = "ListPipelineExecutionSteps"
_QUIET_SECONDS = 45.0
"""Until every look lasts as long as so many executions make it last."""
_START_SECONDS = 1_500.0
_MOST_CALLS = 600


def run(many: int = MANY, seconds: float = SECONDS) -> None:
    report = Report("in_flight", f"In flight: one worker follows {many:,} executions on SageMaker, SQLite, emulator")
    SCRATCH.mkdir(exist_ok=True)
    settle()
    alone = _followed(1, seconds / 2)
    fleet = _followed(many, seconds)
    calls = sum(fleet.calls.values())
    report.add("calls to SageMaker", "a minute", [calls], ratio=calls / (many * sum(alone.calls.values())),
               to=f"of {many:,} × one alone", bound=f"≤ {_MOST_CALLS}", kept=calls <= _MOST_CALLS)  # fmt: skip
    for operation, number in sorted(fleet.calls.items()):
        report.add(f"of these {operation}", "a minute", [number])
    report.add("calls to SageMaker, one execution alone", "a minute", [sum(alone.calls.values())])
    report.add("refit serve, resident", "MB", [fleet.memory], ratio=fleet.memory / alone.memory, to="× one alone")
    report.add("refit serve, processor", "% of one", [fleet.processor], ratio=fleet.processor / max(alone.processor, 0.1),
               to="× one alone")  # fmt: skip
    report.add(f"push → the last of {many:,} is started", "s", [fleet.started], ratio=fleet.started / many / alone.started,
               to="× one alone, each")  # fmt: skip
    report.note("Each execution has one step, whose job does nothing; a look at it is good for 2 s while it is young.")
    report.publish()


class _Cost:
    """Of following so many executions. ``calls`` a minute by operation, ``memory`` in MB, ``processor`` in percent of one."""

    def __init__(self, calls: Mapping[str, float], memory: float, processor: float, started: float) -> None:
        self.calls, self.memory, self.processor, self.started = calls, memory, processor, started


def _followed(many: int, seconds: float) -> _Cost:
    with _fleet(many) as (cloud, service, began):
        _until(lambda: cloud.calls().get("StartPipelineExecution", 0) >= many, f"{many} executions are started")
        started = time.monotonic() - began
        progress.print(f"in flight: {many} started after {started:.0f} s")
        _until(lambda: cloud.calls().get(_LOOK, 0) >= many, "each was looked at once")
        time.sleep(_QUIET_SECONDS)
        before, busy, at = cloud.calls(), _busy(service), time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - at
        calls = {name: (number - before.get(name, 0)) * 60 / took for name, number in cloud.calls().items()}
        memory = sum(resident(pid) for pid in family(service.process.pid))
        return _Cost(
            {name: number for name, number in calls.items() if number},
            memory,
            (_busy(service) - busy) / took * 100,
            started,
        )


@contextmanager
def _fleet(many: int) -> Iterator[tuple[SageMaker, Served, float]]:
    """A cloud, a service that was pushed a commit of so many pipelines, and when that was."""
    with tempfile.TemporaryDirectory(prefix="refit-fleet-", dir=SCRATCH) as name:
        folder = Path(name)
        origin, declared = folder / "origin.git", folder / "backends.yaml"
        new_repository(origin)
        tip = write_commit(origin, "", _files(many), "everything")
        sdks().python("v2")  # to install it is not what is measured
        (folder / "home" / "sagemaker").mkdir(parents=True)
        (folder / "home" / "sagemaker" / "sdks").symlink_to(SHELF)
        with running(folder / "cloud", "python3", "--still") as cloud:
            declared.write_text(yaml.safe_dump({"aws": cloud.declared(slots=2 * many).model_dump(mode="json")}))
            settings = {
                **CREDENTIALS,
                "REFIT_BACKENDS": str(declared),
                "REFIT_REPOSITORIES": f'{{"{NAME}": "file://{origin}"}}',
                "REFIT_GIT_PROTOCOLS": "file",
            }
            with served(folder / "home", **settings) as service:
                began = time.monotonic()
                push(service, NAME, ZERO, tip)
                yield cloud, service, began


def _files(many: int) -> Iterator[tuple[str, str]]:
    pipelines = {
        f"p{at:04}": {
            "backend": "aws",
            "components": {"only": {"run": f"python step.py {at} ${{{{outputs.model}}}}", "outputs": ["model"]}},
        }
        for at in range(many)
    }
    yield "refit.yaml", yaml.safe_dump({"version": 1, "triggers": {"push": ["main"]}, "pipelines": pipelines})
    yield "step.py", "print('never')\n"


def _until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise RuntimeError(f"never: {what}; see the service's log")
        time.sleep(0.2)


def _busy(service: Served) -> float:
    """Processor seconds of the service and all below it, so far."""
    ticks = 0
    for pid in family(service.process.pid):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")
