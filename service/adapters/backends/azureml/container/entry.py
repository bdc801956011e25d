"""Owns the layout of an Azure ML job's container, which its command line tells, and the start of its step there; refuses to know
blobs, which are Azure ML's."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from service.adapters.backends.azureml.container.tracking import tell
from service.adapters.backends.steps.container.process import Log
from service.adapters.backends.steps.container.receipts import REPORT, metrics_file
from service.adapters.backends.steps.container.step import Step


class Ports:
    """Implements the layout. ``given`` are the arguments, each ``port=path``; the spec says which port is whose."""

    def __init__(self, spec: Mapping[str, Any], given: Sequence[str]) -> None:
        self._paths = dict(one.split("=", 1) for one in given)
        self._ports: Mapping[str, Mapping[str, str]] = spec["ports"]
        self._metrics: str = spec["metrics"] or ""

    @property
    def scratch(self) -> Path:
        return Path(tempfile.gettempdir())

    @property
    def bundle(self) -> Path:
        return Path(self._paths[self._ports["own"]["bundle"]])

    @property
    def last_words(self) -> Sequence[Path]:
        """Azure ML has the log alone."""
        return ()

    def arrived(self, name: str) -> Path:
        return Path(self._paths[self._ports["inputs"][name]])

    def output(self, name: str) -> Path:
        port = self._ports["own"]["report"] if name == REPORT else self._ports["outputs"][name]
        return Path(self._paths[port])

    def entry(self, name: str) -> str:
        return metrics_file(self._metrics) if name == "metrics" and self._metrics else name


def now() -> str:
    """How a line of the log begins: Azure ML keeps no times of lines."""
    return f"{datetime.now(timezone.utc).isoformat(timespec='milliseconds')} "  # noqa: UP017, images have Python 3.9 too


def main(spec: Mapping[str, Any]) -> int:
    """Run the step of this container; its numbers are shown in the Studio too."""
    log = Log(now)
    step = Step(spec, Ports(spec, sys.argv[1:]), log)
    code = step.run()
    problem = None if code else tell(step.report["metrics"])
    if problem:
        log.say(problem)
    return code
