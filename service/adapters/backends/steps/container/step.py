"""Owns one step inside its job's container, from the bundle to its receipts: the same command with the same flags as on the
local runner; refuses to know any cloud's storage, which is the cloud's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from service.adapters.backends.steps.commands import Unrunnable, arguments
from service.adapters.backends.steps.container.packages import prepared
from service.adapters.backends.steps.container.process import Log, TimedOut, run
from service.adapters.backends.steps.container.receipts import FLAT_METRICS, RECEIPT, REPORT, REPORT_FILE
from service.adapters.backends.steps.container.upstream import Unreadable, arrived
from service.adapters.backends.steps.declared import Unbuildable
from service.adapters.backends.steps.digests import Unstorable, digest_of, made, state_of
from service.adapters.backends.steps.metrics import UnreadableMetrics, read_metrics

_MESSAGE_BYTES = 1000
"""SageMaker keeps the first KiB of a job's last words."""


class Layout(Protocol):
    """Where a container's things lie."""

    @property
    def scratch(self) -> Path:
        """The folder in which the step's own is made."""
        ...

    @property
    def bundle(self) -> Path:
        """The archive of the export."""
        ...

    @property
    def last_words(self) -> Sequence[Path]:
        """Files in which the cloud looks for why a job failed."""
        ...

    def arrived(self, name: str) -> Path:
        """The folder in which an input that another step made arrives."""
        ...

    def output(self, name: str) -> Path:
        """The folder whose content is uploaded as this output; several may share one."""
        ...

    def entry(self, name: str) -> str:
        """The output itself, below its folder."""
        ...


class Failed(Exception):
    """The step shall not count as made; the text says why, ``code`` how its process ended."""

    def __init__(self, why: str, code: int | None = None) -> None:
        super().__init__(why)
        self.code = code


class Step:
    """One step. ``spec`` is what the service wrote beside this code."""

    def __init__(self, spec: Mapping[str, Any], layout: Layout, log: Log | None = None) -> None:
        self.spec = spec
        self.layout = layout
        self.log = log or Log()
        self.deadline = time.monotonic() + spec["timeout"] if spec["timeout"] else None
        self.scratch = Path(tempfile.mkdtemp(prefix="refit-", dir=layout.scratch))
        self.work = self.scratch / "work"
        self.report: dict[str, Any] = {"inputs": [], "outputs": [], "metrics": {}, "environment": "", "exit_code": None}

    def run(self) -> int:
        """Everything; the exit code of the container."""
        try:
            self._step()
        except (Failed, Unbuildable, Unreadable, Unrunnable, Unstorable, UnreadableMetrics) as problem:
            return self._fail(str(problem), getattr(problem, "code", None))
        except TimedOut:
            return self._fail(f"timed out after {self.spec['timeout']:g} s", None)
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)
        return 0

    def _fail(self, why: str, code: int | None) -> int:
        """The first line says why, then come the last lines that still fit: a traceback ends with what counts."""
        self.log.say(why.splitlines()[0])
        room = _MESSAGE_BYTES - len(why.encode("utf-8", "replace"))
        kept: list[str] = []
        for line in reversed(self.log.tail()):
            room -= len(line.encode("utf-8", "replace")) + 1
            if room < 0:
                break
            kept.append(line)
        text = "\n".join([why, *reversed(kept)]).encode("utf-8", "replace")[:_MESSAGE_BYTES].decode("utf-8", "ignore")
        for path in self.layout.last_words:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return code if code is not None and 0 < code < 256 else 1

    def _step(self) -> None:
        spec = self.spec
        self._unpack()
        target, self.report["environment"] = prepared(
            spec["environment"], self.work, self.scratch / "packages", self._tool
        )
        inputs = self._inputs()
        outputs = {name: self._made(name) for name in spec["outputs"]}
        if spec["metrics"]:
            outputs["metrics"] = self._made("metrics")
        for path in outputs.values():
            path.parent.mkdir(parents=True, exist_ok=True)
        before = {name: state_of(self.work / path) for name, path in inputs.items()}
        flags = [(name, texts) for name, texts in spec["flags"]]
        texts = {name: str(path) for name, path in outputs.items()}
        command = arguments(spec["run"], Path(sys.executable), inputs, texts, flags, self.work)
        self.log.say(f"running {spec['run']}")
        try:
            code = run(command, self.work, self._environment(target), self.log, self.deadline, own=False)
        except OSError as error:
            raise Unrunnable(f"running the step: {command[0]}: {error.strerror}") from error
        self.report["exit_code"] = code
        if code:
            reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise Failed(f"the step ended with {reason}", code)
        for name, given in inputs.items():
            if state_of(self.work / given) != before[name]:
                raise Failed(f"input {name} was modified; inputs are read-only")
        self._keep(outputs)

    def _unpack(self) -> None:
        """Refit packed it itself, of git's own objects: members have plain names, and links stay what git says."""
        self.work.mkdir()
        trusted = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
        with tarfile.open(self.layout.bundle) as archive:
            archive.extractall(self.work, **trusted)  # type: ignore[arg-type]  # noqa: S202

    def _inputs(self) -> dict[str, str]:
        """Name → what the step is given: a path in the export, what another step made, or a URI."""
        given: dict[str, str] = {}
        for name, source in self.spec["inputs"].items():
            if "uri" in source:
                given[name] = source["uri"]
                self.report["inputs"].append({"name": name, "digest": source["uri"], "size": 0})
                continue
            if "path" in source:
                path = self.work / source["path"]
                if not path.exists():
                    raise Failed(f"input {name}: {source['path']} is not in the repository; DVC data is not fetched")
                if not path.resolve().is_relative_to(self.work.resolve()):
                    raise Failed(f"input {name}: {source['path']} links out of the repository")
                given[name] = source["path"]
            else:
                path = arrived(self.layout.arrived(name), source["output"], self.scratch / f"in-{name}")
                given[name] = str(path)
            stored = digest_of(path)
            if stored.digest != (source.get("digest") or stored.digest):
                raise Failed(f"input {name}: the stored object {source['digest']} is damaged")
            self.report["inputs"].append({"name": name, "digest": stored.digest, "size": stored.size})
        return given

    def _made(self, name: str) -> Path:
        return self.layout.output(name) / self.layout.entry(name)

    def _keep(self, outputs: Mapping[str, Path]) -> None:
        """A receipt beside each output, and the report for the service."""
        receipts: dict[Path, list[dict[str, Any]]] = {}
        for name, path in outputs.items():
            beside = self.work / self.spec["metrics"] if name == "metrics" else None
            if not os.path.lexists(path) and beside is not None and os.path.lexists(beside):
                made(beside)  # a command without ${{metrics}} writes where refit.yaml says
                shutil.copyfile(beside, path)
            if not os.path.lexists(path):
                raise Failed(f"output {name} was not written: the step was given --{name} {path}")
            stored, rows = made(path)
            if name == "metrics":
                self.report["metrics"] = read_metrics(path)
                _write(path.parent / FLAT_METRICS, self.report["metrics"])
            folder = self.layout.output(name)
            receipt = {"name": name, "entry": path.relative_to(folder).as_posix(), "digest": stored.digest,
                       "size": stored.size, "kind": "file" if rows is None else "folder"}  # fmt: skip
            self.report["outputs"].append(receipt)
            receipts.setdefault(folder, []).append({**receipt, "rows": rows or []})
        for folder, ones in receipts.items():
            _write(folder / RECEIPT, {"outputs": ones})
        report = self.layout.output(REPORT) / REPORT_FILE
        report.parent.mkdir(parents=True, exist_ok=True)
        _write(report, self.report)

    def _environment(self, target: Path | None) -> dict[str, str]:
        """The container's own, which holds the role's credentials, and the import path of the step."""
        source = self.work / "src"
        roots = [str(self.work), *([str(source)] if source.is_dir() else []), *([str(target)] if target else [])]
        home = Path(sys.executable).parent
        return {
            **os.environ,
            "PATH": f"{home}{os.pathsep}{os.environ.get('PATH', '/usr/local/bin:/usr/bin:/bin')}",
            "PYTHONPATH": os.pathsep.join(roots),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _tool(self, command: Sequence[str], folder: Path) -> int:
        return run(command, folder, os.environ, self.log, self.deadline, own=True)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=True, sort_keys=True), encoding="ascii")
