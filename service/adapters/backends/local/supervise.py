"""Owns one attempt from start to outcome, in a process of its own that outlives the service; refuses to retry.

Started by the backend as ``python -m service.adapters.backends.local.supervise <folder>``. It holds the run's lock while it
lives, and writes the outcome before it lets go: whoever finds neither knows that it died.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.adapters.backends.local.files import RunFolder, read_json, write_json
from service.adapters.backends.local.logs import LogWriter
from service.adapters.backends.local.objects import Objects
from service.adapters.backends.local.processes import (
    MARK,
    become_subreaper,
    die_with_parent,
    end_descendants,
    start_ticks,
)
from service.adapters.backends.steps.commands import Unrunnable, arguments
from service.adapters.backends.steps.declared import Unbuildable
from service.adapters.backends.steps.digests import Unstorable, digest_of, state_of
from service.adapters.backends.steps.environments import Interrupted, Shelf, environment_for
from service.adapters.backends.steps.metrics import UnreadableMetrics, read_metrics

GRACE_SECONDS = 5.0
_LOCK_SECONDS = 1.0
_SPACE_SECONDS = 1.0
_STEP_PATH = "/usr/local/bin:/usr/bin:/bin"


class Stopped(Exception):
    """The step shall not go on: ``seen`` is ``cancelled`` or ``failed``, the text says why."""

    def __init__(self, seen: str, why: str) -> None:
        super().__init__(why)
        self.seen = seen


class Supervisor:
    """One attempt."""

    def __init__(self, folder: RunFolder, spec: Mapping[str, Any]) -> None:
        self.folder = folder
        self.spec = spec
        self.log = LogWriter(folder.log)
        self.objects = Objects(Path(spec["objects"]))
        self.began = time.monotonic()  # wall time may jump while a step runs
        self.deadline = self.began + spec["timeout"] if spec["timeout"] else None
        self.outcome: dict[str, Any] = {"seen": "failed", "error": "", "exit_code": None, "started_at": time.time()}
        self._terminated = False

    def run(self) -> None:
        """Everything, and the outcome whatever happens."""
        signal.signal(signal.SIGTERM, self._terminate)
        become_subreaper()
        try:
            self._step()
        except Stopped as stop:
            self.outcome |= {"seen": stop.seen, "error": str(stop)}
        except (Unbuildable, Unrunnable, Unstorable, UnreadableMetrics) as problem:
            self.outcome |= {"seen": "failed", "error": self._with_log(str(problem))}
        except Interrupted as interrupted:
            self.outcome |= {"seen": "lost", "error": str(interrupted)}
        except OSError as problem:
            full = "; the disk is full" if problem.errno in (errno.ENOSPC, errno.EDQUOT) else ""
            self.outcome |= {"seen": "failed", "error": f"the runner failed: {problem}{full}"}
        except Exception as bug:  # an outcome whatever happens: a run without one would be taken for lost, and repeated
            self.outcome |= {"seen": "failed", "error": f"the runner failed: {type(bug).__name__}: {bug}"[:2_000]}
        finally:
            end_descendants(os.getpid(), 0.0)
        if self.outcome["error"]:
            self.log.write("refit", self.outcome["error"].splitlines()[0])
        self.outcome["ended_at"] = self.outcome["started_at"] + time.monotonic() - self.began
        self._write_outcome()
        self.log.close()
        self._clean()

    def _terminate(self, _number: int, _frame: object) -> None:
        # No threading.Event: a second signal while the first sets it would wait for ever for the first one's lock.
        self._terminated = True

    def _write_outcome(self) -> None:
        """A full disk delays the outcome and does not lose it: until there is space the step is still running."""
        while True:
            try:
                write_json(self.folder.outcome, self.outcome)
                return
            except OSError as problem:
                if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
            self._clean()
            time.sleep(_SPACE_SECONDS)

    def _clean(self) -> None:
        for name in ("work", "in", "out", "home", "environment"):  # what is worth keeping is in the object store by now
            shutil.rmtree(self.folder.path / name, ignore_errors=True)

    def _step(self) -> None:
        spec, work = self.spec, self.folder.work
        shelf = Shelf(Path(spec["environments"]), self.folder.path / "environment")
        python, name = environment_for(shelf, spec["environment"], work, spec["uv"], self._tool, self._check)
        self.outcome["environment"] = name
        inputs = self._inputs()
        out = self.folder.path / "out"
        out.mkdir()
        outputs = {name: str(out / name) for name in spec["outputs"]}
        if spec["metrics"]:
            outputs["metrics"] = str(out / os.path.basename(spec["metrics"]))
        before = {name: state_of(work / path) for name, path in inputs.items()}
        command = arguments(spec["run"], python, inputs, outputs, spec["flags"], work)
        self.log.write("refit", f"running {spec['run']}")
        code = self._process(command, work, self._environment(python))
        self.outcome["exit_code"] = code
        if code:
            reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise Stopped("failed", self._with_log(f"the step ended with {reason}"))
        for name, path in inputs.items():
            if state_of(work / path) != before[name]:
                raise Stopped("failed", f"input {name} was modified; inputs are read-only")
        self._keep(outputs)
        self.outcome["seen"] = "succeeded"

    def _inputs(self) -> dict[str, str]:
        """Name → what the step is given: a path in the export, a copy of an upstream output, or a URI."""
        folder = self.folder.path / "in"
        folder.mkdir()
        given: dict[str, str] = {}
        read = []
        for name, source in self.spec["inputs"].items():
            if "uri" in source:
                given[name] = source["uri"]
                read.append({"name": name, "digest": source["uri"], "size": 0})
                continue
            if "path" in source:
                path = self.folder.work / source["path"]
                if not path.exists():
                    raise Stopped(
                        "failed",
                        f"input {name}: {source['path']} is not in the repository; the local runner fetches no DVC data",
                    )
                if not path.resolve().is_relative_to(self.folder.work.resolve()):  # /dev/zero would never end
                    raise Stopped("failed", f"input {name}: {source['path']} links out of the repository")
                given[name] = source["path"]
            else:
                path = folder / name
                try:
                    self.objects.copy(source["digest"], path)
                except FileNotFoundError as error:
                    raise Stopped(
                        "failed", f"input {name}: the object {source['digest']} is no longer stored"
                    ) from error
                given[name] = str(path)
            stored = digest_of(path)
            if stored.digest != source.get("digest", stored.digest):
                raise Stopped("failed", f"input {name}: the stored object {source['digest']} is damaged")
            read.append({"name": name, "digest": stored.digest, "size": stored.size})
        self.outcome["inputs"] = read
        return given

    def _keep(self, outputs: Mapping[str, str]) -> None:
        kept = []
        for name, text in outputs.items():
            path = Path(text)
            beside = self.folder.work / self.spec["metrics"] if name == "metrics" else None
            if not os.path.lexists(path) and beside is not None and beside.exists():
                path = beside  # a command without ${{metrics}} writes where refit.yaml says
            if not os.path.lexists(path):
                raise Stopped("failed", f"output {name} was not written: the step was given --{name} {text}")
            stored = self.objects.put(path)
            if name == "metrics":
                self.outcome["metrics"] = read_metrics(path)
            kept.append({"name": name, "digest": stored.digest, "size": stored.size})
        self.outcome["outputs"] = kept

    def _environment(self, python: Path) -> dict[str, str]:
        """What the step sees: nothing of the service's own environment but what is named here."""
        home = self.folder.path / "home"
        home.mkdir()
        work = self.folder.work
        roots = [str(work), *([str(work / "src")] if (work / "src").is_dir() else [])]
        return {
            "PATH": f"{python.parent}:{_STEP_PATH}",
            "VIRTUAL_ENV": str(python.parent.parent),
            "PYTHONPATH": os.pathsep.join(roots),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HOME": str(home),
            "TMPDIR": str(home),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "OMP_WAIT_POLICY": "PASSIVE",  # steps share the processors: threads that wait busily took four times as long
            MARK: self.spec["token"],
        }

    def _tool(self, command: Sequence[str], folder: Path) -> int:
        # Steps write no bytecode into what they share; without it each would parse its libraries again (scikit-learn: 4 s).
        environment = {"UV_COMPILE_BYTECODE": "1", **os.environ, MARK: self.spec["token"]}
        return self._process(command, folder, environment, stream="refit")

    def _process(self, command: Sequence[str], folder: Path, environment: Mapping[str, str], stream: str = "") -> int:
        """Run to the end of the whole tree; ``Stopped`` when cancelled or out of time."""
        self._check()
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            raise Unrunnable(f"running the step: {command[0]}: {error.strerror}") from error
        write_json(self.folder.session, {"pid": process.pid, "ticks": start_ticks(process.pid)})
        streams = ((stream or "stdout", process.stdout), (stream or "stderr", process.stderr))
        readers = [threading.Thread(target=self.log.copy, args=(name, pipe), daemon=True) for name, pipe in streams]
        for reader in readers:
            reader.start()
        try:
            while process.poll() is None:
                self._check()
                time.sleep(0.03)
        finally:
            end_descendants(os.getpid(), GRACE_SECONDS if process.poll() is None else 0.2)
            for reader in readers:
                reader.join(5.0)
        return process.wait()

    def _check(self) -> None:
        if self._terminated or self.folder.cancel.exists():
            raise Stopped("cancelled", "cancelled")
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise Stopped("failed", f"timed out after {self.spec['timeout']:g} s")

    def _with_log(self, text: str) -> str:
        """The message, and the last lines that were written: a traceback is in them."""
        tail = self.log.tails.get("stderr") or self.log.tails.get("refit") or self.log.tails.get("stdout") or []
        return "\n".join([text, *tail[-40:]])


def main(folder: RunFolder) -> None:
    """Supervise unless somebody does, did, or died doing it."""
    # Observers hold the lock for a moment; another supervisor holds it for as long as it lives.
    patience = time.monotonic() + _LOCK_SECONDS
    while (lock := folder.try_lock()) is None and time.monotonic() < patience:
        time.sleep(0.02)
    if lock is None or folder.outcome.exists() or folder.started.exists():
        return
    spec: Mapping[str, Any] = read_json(folder.spec) or {}
    write_json(folder.started, {"pid": os.getpid(), "ticks": start_ticks(os.getpid()), "at": time.time()})
    os.chdir(folder.path)
    Supervisor(folder, spec).run()
    os.close(lock)


if __name__ == "__main__":
    main(RunFolder(Path(sys.argv[1])))
