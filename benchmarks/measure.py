"""Owns how a figure is taken, told and kept: repeated, as median and spread, beside its reference; refuses single shots."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SUMMARY = RESULTS / "summary.json"
SCRATCH = Path(tempfile.gettempdir()) / "refit-benchmarks"
"""What is generated once and used again; may be deleted at any time."""
QUIET_LOAD = 1.0
"""Load average above which a figure says more about the neighbours than about Refit."""

console = Console(highlight=False, width=150)
progress = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Figure:
    """One row: what was measured, every repetition, the reference it is held against, and the bound it must keep.

    ``ratio`` is a plain number because "how many times" reads one way for a rate and the other way for a time.
    """

    what: str
    unit: str
    values: tuple[float, ...]
    ratio: float | None = None
    to: str = ""
    bound: str = ""
    kept: bool | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.values), max(self.values)


@dataclass
class Report:
    """The figures of one script in one run."""

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, what: str, unit: str, values: Sequence[float], **more: Any) -> Figure:
        made = Figure(what, unit, tuple(values), **more)
        self.figures.append(made)
        return made

    def note(self, text: str) -> None:
        self.notes.append(text)

    def publish(self) -> None:
        """A table on stdout, everything in ``results/<name>.json``, medians and ratios in the committed summary."""
        console.print(self._table())
        for text in self.notes:
            console.print(f"  {text}", markup=False, style="dim")
        RESULTS.mkdir(exist_ok=True)
        run = {"title": self.title, "at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
        rows = [{**asdict(one), "median": one.median, "spread": one.spread} for one in self.figures]
        _write(RESULTS / f"{self.name}.json", {**run, "figures": rows, "notes": self.notes})
        known = json.loads(SUMMARY.read_text(encoding="utf-8")) if SUMMARY.exists() else {}
        short = [{name: value for name, value in row.items() if name != "values"} for row in rows]
        _write(SUMMARY, {**known, self.name: {**run, "figures": short, "notes": self.notes}})

    def _table(self) -> Table:
        table = Table(title=self.title, title_justify="left")
        for name in ("what", "median", "spread", "n", "ratio", "bound"):
            table.add_column(name, justify="left" if name in ("what", "bound") else "right")
        for one in self.figures:
            low, high = one.spread
            ratio = "" if one.ratio is None else f"{_plain(one.ratio)} {one.to}".rstrip()
            mark = {None: "", True: " [green]kept[/]", False: " [red]missed[/]"}[one.kept]
            table.add_row(
                one.what,
                f"{_plain(one.median)} {one.unit}",
                f"{_plain(low)} – {_plain(high)}",
                str(len(one.values)),
                ratio,
                f"{one.bound}{mark}",
            )
        return table


def timed(act: Callable[[], object]) -> float:
    """Milliseconds that ``act`` takes."""
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1_000


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest rank: a value that really occurred."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def machine() -> dict[str, Any]:
    """Where the figures come from. The load is that of the last minute, the benchmark's own included."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "git": git,
        "load": round(os.getloadavg()[0], 2),
    }


def settle(seconds: float = 120.0) -> None:
    """Wait until the machine is quiet, or for so long; say so if it never is."""
    deadline = time.monotonic() + seconds
    while os.getloadavg()[0] > QUIET_LOAD:
        if time.monotonic() > deadline:
            progress.print(f"the machine is not quiet (load {os.getloadavg()[0]:.2f}); measuring all the same")
            return
        time.sleep(2)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
