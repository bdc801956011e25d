"""Owns the process in which the SDK compiles; refuses to let it see a credential, a repository's code, or AWS.

It takes seconds to start and milliseconds to answer: one serves until it has been idle for long, and another follows.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.adapters.backends.sagemaker.sdk import Sdks
from service.domain.errors import Refused, Retry

_SCRIPT = Path(__file__).resolve().parent / "sdk" / "compile_v2.py"
_ANSWER_SECONDS = 120.0
_PASSED_ON = ("PATH", "LANG", "TMPDIR")
_CONFIGURATION = "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
"""Telemetry goes past every endpoint that is set."""


class Compiler:
    """Requests → definitions. Thread-safe; ``folder`` holds what both processes exchange."""

    def __init__(self, sdks: Sdks, folder: Path) -> None:
        self._sdks = sdks
        self._folder = folder
        self._lock = threading.Lock()
        self._process: _Process | None = None

    def compile(self, request: Mapping[str, Any]) -> str:
        """The pipeline's definition, JSON; the same request gives the same bytes. ``Refused`` if the SDK does not take it."""
        text = json.dumps(request, sort_keys=True)
        with self._lock:
            answer = self._asked(text)
        if "error" in answer:
            raise Refused(f"compiling the pipeline {request['pipeline']}: SageMaker's SDK says {answer['error']}")
        return str(answer["definition"])

    def close(self) -> None:
        with self._lock:
            if self._process is not None:
                self._process.end()
                self._process = None

    def _asked(self, text: str) -> Mapping[str, Any]:
        """One that ended while idle is found out when it is asked: then a new one is."""
        for _ in range(2):
            if self._process is None:
                self._process = _Process(self._sdks.python("v2"), self._folder)
            answer = self._process.ask(text)
            if answer is not None:
                return answer
            self._process.end()
            self._process = None
        raise Retry("compiling the pipeline: the process of SageMaker's SDK ended twice; its log is sdk.log")


class _Process:
    """A running SDK."""

    def __init__(self, python: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        configuration = folder / "sdk.yaml"
        configuration.write_text(_CONFIGURATION, encoding="ascii")
        self._done, theirs = os.pipe()
        environment = {name: value for name, value in os.environ.items() if name in _PASSED_ON} | {
            "HOME": str(folder),
            "SAGEMAKER_USER_CONFIG_OVERRIDE": str(configuration),
            "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(configuration),
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        try:
            with (folder / "sdk.log").open("wb") as log:
                self._process = subprocess.Popen(
                    [python, "-I", _SCRIPT, str(theirs)],
                    cwd=folder,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    pass_fds=(theirs,),
                )
        finally:
            os.close(theirs)
        self._said(b"ready\n")

    def ask(self, text: str) -> Mapping[str, Any] | None:
        """The answer; ``None`` if the process is no more, or does not answer."""
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        with tempfile.TemporaryDirectory(prefix=f"{name[:8]}-", dir=self._folder) as place:
            path = Path(place) / "request.json"
            path.write_text(text, encoding="ascii")
            assert self._process.stdin is not None, "started with a pipe"
            try:
                self._process.stdin.write(os.fsencode(path) + b"\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                return None
            if not self._said(b"done\n"):
                return None
            answer: dict[str, Any] = json.loads(path.with_suffix(".answer").read_bytes())
            return answer

    def _said(self, wanted: bytes) -> bool:
        ready, _, _ = select.select([self._done], [], [], _ANSWER_SECONDS)
        return bool(ready) and os.read(self._done, len(wanted)) == wanted

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        os.close(self._done)
