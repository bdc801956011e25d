"""Owns what an idle service holds in memory, beside a Python that has only imported what it is built on; refuses load."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import SCRATCH, Report, progress, settle
from benchmarks.serving import served

_IDLE_SECONDS, _TIMES = 5.0, 3


def run(times: int = _TIMES) -> None:
    report = Report("memory", "Memory: resident set of `refit serve` with its worker, idle, SQLite")
    SCRATCH.mkdir(exist_ok=True)
    settle()
    service, together, bare, ready = [], [], [], []
    for number in range(times):
        progress.print(f"memory: {number + 1} of {times}")
        scratch = tempfile.TemporaryDirectory(prefix="refit-memory-", dir=SCRATCH)
        with scratch as folder, served(Path(folder) / "home") as one:
            ready.append(one.ready_seconds * 1_000)
            time.sleep(_IDLE_SECONDS)
            service.append(resident(one.process.pid))
            together.append(sum(resident(pid) for pid in family(one.process.pid)))
        bare.append(_reference())
    ratio = statistics.median(service) / statistics.median(bare)
    report.add("refit serve", "MB", service, ratio=ratio, to="× python + fastapi + sqlalchemy")
    report.add("refit serve and its processes", "MB", together)
    report.add("python + fastapi + sqlalchemy", "MB", bare)
    report.add("refit serve: process start → listens, new home", "ms", ready)
    report.publish()


def _reference() -> float:
    program = "import fastapi, sqlalchemy; print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout, "started with pipes"
        process.stdout.readline()
        found = resident(process.pid)
        process.stdin.write(b"\n")
        process.stdin.flush()
    return found


def resident(pid: int) -> float:
    rows = Path(f"/proc/{pid}/status").read_text().splitlines()
    (row,) = (row for row in rows if row.startswith("VmRSS"))
    return int(row.split()[1]) / 1_024


def family(pid: int) -> list[int]:
    """The process and all below it."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            parents[int(name)] = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found
