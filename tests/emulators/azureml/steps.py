"""Owns one command's life without a container: code and inputs from blobs, a process group of its own, outputs and lines
to blobs; refuses to know pipelines."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.emulators.azureml.blobs import ACCOUNT, HOST, Blobs
from tests.emulators.azureml.definition import Value, command_of
from tests.emulators.azureml.resources import ARTIFACTS, CONTAINERS

LOG = "user_logs/std_log.txt"
_SYSTEM_LOG = "system_logs/lifecycler/lifecycler.log"
_SHORT = re.compile(r"azureml://(?:subscriptions/.+?/)?datastores/(?P<store>[^/]+)/paths/(?P<path>.*)", re.DOTALL)
_TAIL = 2000


class StepFailed(Exception):
    """Why, in Azure's words; ``code`` says whose fault it was."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StepStopped(Exception):
    """Somebody cancelled it."""


class StepTimedOut(Exception):
    """It ran longer than its limit."""


@dataclass(frozen=True)
class Work:
    """What a step is told. ``outputs`` are places by port, ``code`` where its files are (or nothing)."""

    run: str
    command: str
    code: str
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Value]
    environment: Mapping[str, str]
    timeout: float | None = None


def place_of(uri: str) -> tuple[str, str]:
    """Container and path of any of the forms in which a place is named. ``StepFailed`` for others."""
    short = _SHORT.fullmatch(uri)
    if short is not None and short["store"] in CONTAINERS:
        return CONTAINERS[short["store"]], short["path"]
    parts = urlsplit(uri)
    path = unquote(parts.path).lstrip("/")
    if parts.scheme in ("http", "https", "wasbs") and parts.hostname in (HOST, "localhost"):
        container, _, rest = path.removeprefix(f"{ACCOUNT}/").partition("/")
        return container, rest
    raise StepFailed(
        "UserError", f"The data at {uri} is not accessible: no datastore or account of this workspace has it."
    )


class Steps:
    """Runs steps below ``folder``; ``base`` is the environment that every one has, first of all ``PATH``."""

    def __init__(self, folder: Path, blobs: Blobs, python: str, base: Mapping[str, str]) -> None:
        self._folder = folder
        self._blobs = blobs
        self._python = python
        self._base = base

    def run(self, work: Work, running: Callable[[], None], cancelled: Callable[[], bool]) -> None:
        """Download, run, upload. A process that an earlier emulator started is waited for instead of started."""
        folder = self._folder / work.run
        if not (folder / "pid").exists():
            self._prepare(folder, work)
            if cancelled():
                raise StepStopped
            self._start(folder, work)
        running()
        code = self._wait(folder, work, cancelled)
        self._upload_lines(folder, work.run)
        said = f"Command: {work.command}\nExit code: {code}\n"
        self._blobs.put(CONTAINERS[ARTIFACTS], f"ExperimentRun/dcid.{work.run}/{_SYSTEM_LOG}", said.encode())
        for name in ("outputs", "logs"):
            if (folder / "wd" / name).is_dir():
                self._blobs.upload(folder / "wd" / name, CONTAINERS[ARTIFACTS], f"ExperimentRun/dcid.{work.run}/{name}")
        if code:
            tail = (folder / "std_log.txt").read_text(errors="replace")[-_TAIL:]
            program = shlex.split(work.command)[0] if work.command.split() else "sh"
            raise StepFailed("UserError", f"Execution failed. User process '{program}' exited with status code {code}. "
                             f"Please check log file '{LOG}' for error details. Error: {tail}")  # fmt: skip

    def upload(self, work: Work) -> None:
        """The outputs that it made, to their places."""
        for port, value in work.outputs.items():
            container, path = place_of(value["uri"])
            made = self._output(self._folder / work.run, port)
            if made.exists():
                self._blobs.upload(made, container, path)

    def stop_all(self) -> None:
        """Nothing of it runs on when the emulator ends for good."""
        for pid in self._folder.glob("*/pid"):
            if not (pid.parent / "rc").exists():
                _end(pid.parent)

    # one step ---------------------------------------------------------------------------------------------------------

    def _prepare(self, folder: Path, work: Work) -> None:
        shutil.rmtree(folder, ignore_errors=True)  # what a killed emulator had begun
        for name in ("wd", "inputs", "outputs"):
            (folder / name).mkdir(parents=True)
        if work.code:
            container, path = place_of(work.code)
            with self._found(work.code):
                self._blobs.download(container, f"{path.rstrip('/')}/" if path else "", folder / "wd")
        values = {name: self._value(folder, name, value) for name, value in work.inputs.items()}
        places = {port: str(self._output(folder, port)) for port in work.outputs}
        for port, value in work.outputs.items():
            if value["type"] != "uri_file":
                self._output(folder, port).mkdir(parents=True)
        environment = {f"AZURE_ML_INPUT_{name}": one for name, one in values.items()} | {
            f"AZURE_ML_OUTPUT_{port}": one for port, one in places.items()}  # fmt: skip
        (folder / "environment.json").write_text(json.dumps(environment | dict(work.environment)))
        (folder / "command.sh").write_text(command_of(work.command, values, places))

    def _value(self, folder: Path, name: str, value: Value) -> str:
        """A literal itself; of data, the path where a mount shows it, or with ``direct`` where it lies."""
        if value["type"] == "literal":
            return str(value["value"])
        if value.get("mode") == "direct":
            return str(value["uri"])
        container, path = place_of(value["uri"])
        with self._found(value["uri"]):
            if value["type"] in ("uri_folder", "mltable", "mlflow_model"):
                path = f"{path.rstrip('/')}/"
            return str(self._blobs.download(container, path, folder / "inputs" / name))

    @staticmethod
    @contextlib.contextmanager
    def _found(uri: str) -> Iterator[None]:
        try:
            yield
        except KeyError as error:
            raise StepFailed("UserError", f"ScriptExecution.StreamAccess.NotFound: {uri} does not exist.") from error

    @staticmethod
    def _output(folder: Path, port: str) -> Path:
        return folder / "outputs" / port

    def _start(self, folder: Path, work: Work) -> None:
        """The shell writes the exit code before it ends, so that who did not start it can know."""
        with (folder / "std_log.txt").open("ab") as log:
            process = subprocess.Popen(
                ["sh", "-c", 'bash "$1"; echo $? > "$2.part"; mv "$2.part" "$2"', "sh", str(folder / "command.sh"),
                 str(folder / "rc")],
                cwd=folder / "wd", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**self._base, "PATH": f"{self._bin()}:/usr/local/bin:/usr/bin:/bin",
                     **json.loads((folder / "environment.json").read_text())},
            )  # fmt: skip
        (folder / "pid").write_text(f"{process.pid} {_began(str(process.pid))}")

    def _bin(self) -> Path:
        """A folder where ``python`` and ``python3`` are the image's interpreter."""
        made = self._folder / ".bin"
        made.mkdir(parents=True, exist_ok=True)
        for name in ("python", "python3"):
            script = made / name
            if not script.exists():  # not a link: an interpreter finds its environment beside the name it is called by
                script.write_text(f'#!/bin/sh\nexec {shlex.quote(self._python)} "$@"\n')
                script.chmod(0o755)
        return made

    def _wait(self, folder: Path, work: Work, cancelled: Callable[[], bool]) -> int:
        began = (folder / "pid").stat().st_mtime
        looked = 0.0
        while True:
            if (folder / "rc").exists():
                return int((folder / "rc").read_text())
            if cancelled():
                _end(folder)
                self._upload_lines(folder, work.run)
                raise StepStopped
            if work.timeout is not None and time.time() - began > work.timeout:
                _end(folder)
                self._upload_lines(folder, work.run)
                raise StepTimedOut
            if not _is_alive(folder) and not (folder / "rc").exists():
                self._upload_lines(folder, work.run)
                raise StepFailed("ServiceError", "The node on which the job ran was lost.")
            if time.monotonic() - looked > 0.5:
                self._upload_lines(folder, work.run)
                looked = time.monotonic()
            time.sleep(0.03)

    def _upload_lines(self, folder: Path, run: str) -> None:
        log = folder / "std_log.txt"
        if log.exists():
            self._blobs.put(CONTAINERS[ARTIFACTS], f"ExperimentRun/dcid.{run}/{LOG}", log.read_bytes())


def _end(folder: Path) -> None:
    """Its whole group, unless the id is another's by now."""
    pid, began = (folder / "pid").read_text().split()
    if _began(pid) == began:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(pid), signal.SIGKILL)


def _is_alive(folder: Path) -> bool:
    """The very process that was started, and not a zombie either: its parent is this process, or nobody."""
    pid, began = (folder / "pid").read_text().split()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(int(pid), os.WNOHANG)
    return _began(pid) == began


def _began(pid: str) -> str:
    """When a process began, in ticks since the machine did; nothing if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]
