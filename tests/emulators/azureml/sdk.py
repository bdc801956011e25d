"""Owns a client of the emulator that is the unmodified SDK, started from its lock; refuses to import it into this process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.emulators.azureml.process import AzureML
from tests.sdks import azure_sdks


class Refused(Exception):
    """What the SDK raised; ``status`` is HTTP's, or 0."""

    def __init__(self, problem: str, status: int) -> None:
        super().__init__(problem)
        self.status = status


class Sdk:
    """Methods are the verbs of ``sdk_process``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __getattr__(self, verb: str) -> Any:
        def call(**asked: Any) -> Any:
            assert self._process.stdin is not None, "started with a pipe"
            assert self._process.stdout is not None, "started with a pipe"
            self._process.stdin.write(json.dumps({"verb": verb, **asked}) + "\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline())
            if "problem" in answer:
                raise Refused(answer["problem"], answer["status"])
            return answer["value"]

        return call


@contextmanager
def client(cloud: AzureML, log: Path, **environment: str) -> Iterator[Sdk]:
    """A process of its own; what the SDK prints is in ``log``."""
    given = {"subscription": cloud.subscription, "resource_group": cloud.resource_group, "workspace": cloud.workspace,
             "cloud": cloud.cloud_metadata}  # fmt: skip
    # -P: the file's own folder is no place to import from
    command = [str(azure_sdks().python()), "-P", str(Path(__file__).with_name("sdk_process.py")), json.dumps(given)]
    with log.open("ab") as errors:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                                   cwd=log.parent, env={**os.environ, **cloud.environment, **environment,
                                                        "AZUREML_RUN_POLLING_INTERVAL_MIN": "1"})  # fmt: skip
    try:
        yield Sdk(process)
    finally:
        process.terminate()
        process.wait()
