"""Owns the backend port on this machine: submit, observe, cancel, logs, all from files; refuses to hold state in memory."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import service
from service.adapters.backends.local.files import RunFolder, read_json, write_json
from service.adapters.backends.local.logs import read_lines
from service.adapters.backends.local.objects import Objects
from service.adapters.backends.local.processes import end_left, is_alive
from service.adapters.backends.steps.environments import passed_on
from service.domain.errors import Refused
from service.domain.execution import Artifact, Observation, Seen
from service.domain.pipeline import RepositoryInput, UpstreamInput, UriInput
from service.ports.backend import LogLine, Work

_START_SECONDS = 20.0


class LocalBackend:
    """Steps as processes of this machine. ``root`` keeps runs, objects and environments; ``uv`` is the binary."""

    def __init__(self, root: Path, *, uv: str) -> None:
        self._root = root.resolve()
        self._uv = uv
        self._objects = Objects(self._root / "objects")

    @property
    def composes(self) -> bool:
        return False

    @property
    def slots(self) -> int | None:
        return None

    def submit(self, works: Sequence[Work]) -> Sequence[str]:
        return [self._submit(work) for work in works]

    def _submit(self, work: Work) -> str:
        folder = self._run(work.token)
        if not folder.path.exists():
            self._prepare(folder, work)
        if not folder.outcome.exists() and not folder.started.exists():
            self._start(folder)
        return work.token

    def observe(self, handle: str) -> Observation:
        folder = self._run(handle)
        # In this order: a supervisor locks, says that it started, writes the outcome, and unlocks. Whoever looked in another
        # order could take one that is just starting, or just ending, for dead.
        started = read_json(folder.started)
        locked = folder.is_locked() if folder.path.exists() else False
        outcome = read_json(folder.outcome)
        if outcome is not None:
            return _observation(outcome, handle)
        if locked:
            return Observation(Seen.RUNNING, started_at=_time(started["at"]) if started else None)
        if started is None and folder.path.exists():
            age = time.time() - folder.path.stat().st_mtime
            if not 0.0 <= age <= _START_SECONDS:  # below zero: the clock was set back, and says nothing
                self._start(folder)
            return Observation(Seen.RUNNING)
        session = read_json(folder.session) or {}
        end_left(handle, session.get("pid"), session.get("ticks"))
        return Observation(Seen.LOST, error="the run's supervisor died; its processes were ended")

    def cancel(self, handle: str) -> None:
        folder = self._run(handle)
        if folder.outcome.exists() or not folder.path.exists():
            return
        folder.cancel.touch()
        started = read_json(folder.started)
        if started and is_alive(started["pid"], started["ticks"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(started["pid"], signal.SIGTERM)

    def logs(self, handle: str, after: int, limit: int) -> Sequence[LogLine]:
        return read_lines(self._run(handle).log, after, limit)

    def holds(self, digests: Sequence[str]) -> frozenset[str]:
        return frozenset(digest for digest in digests if self._objects.holds(digest))

    def examine(self) -> Sequence[str]:
        """This machine needs nothing that the other checks have not tried."""
        return ()

    def _run(self, token: str) -> RunFolder:
        if not token or not all(c.isalnum() or c in "._-" for c in token) or token.startswith("."):
            raise Refused(f"running a step: {token!r} is not a token")
        return RunFolder(self._root / "runs" / token)

    def _prepare(self, folder: RunFolder, work: Work) -> None:
        """The folder appears whole, by a rename: a crash before it leaves nothing that could be taken for a run."""
        making = RunFolder(folder.path.with_name(f".{folder.path.name}.{secrets.token_hex(6)}"))
        making.work.mkdir(parents=True)
        try:
            work.source.export(making.work)
            write_json(making.spec, self._spec(work))
            making.path.rename(folder.path)
        except OSError:
            if not folder.path.exists():  # else somebody submitted the same token meanwhile: theirs is as good
                raise
        finally:
            shutil.rmtree(making.path, ignore_errors=True)

    def _spec(self, work: Work) -> dict[str, Any]:
        component = work.ingredients.component
        inputs: dict[str, dict[str, str]] = {}
        for name, source in component.inputs:
            match source:
                case RepositoryInput(path=path):
                    inputs[name] = {"path": path}
                case UriInput(uri=uri):
                    inputs[name] = {"uri": uri}
                case UpstreamInput():
                    inputs[name] = {"digest": work.inputs[name].digest}
        return {
            "token": work.token,
            "run": component.run,
            "flags": [[name, list(texts)] for name, texts in work.ingredients.flags],
            "inputs": inputs,
            "outputs": list(component.outputs),
            "metrics": component.metrics,
            "timeout": component.limits.timeout,
            "environment": list(work.environment),
            "uv": self._uv,
            "objects": str(self._root / "objects"),
            "environments": str(self._root / "environments"),
        }

    def _start(self, folder: RunFolder) -> None:
        """A supervisor in a session of its own: it survives this process, and gives way if the run is taken."""
        os.utime(folder.path)  # `observe` gives it its time from now on
        root = str(Path(service.__file__).resolve().parents[1])
        with (folder.path / "supervisor.log").open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", "service.adapters.backends.local.supervise", str(folder.path)],
                cwd=root,
                env={**passed_on("UV_", "PIP_"), "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )


def _observation(outcome: dict[str, Any], handle: str) -> Observation:
    return Observation(
        seen=Seen(outcome["seen"]),
        error=outcome["error"],
        exit_code=outcome["exit_code"],
        started_at=_time(outcome["started_at"]),
        ended_at=_time(outcome["ended_at"]),
        inputs=tuple(Artifact(one["name"], one["digest"], one["size"]) for one in outcome.get("inputs", ())),
        outputs=tuple(Artifact(one["name"], one["digest"], one["size"]) for one in outcome.get("outputs", ())),
        metrics=outcome.get("metrics", {}),
        environment=outcome.get("environment", ""),
        job=handle,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
