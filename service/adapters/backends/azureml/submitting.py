"""Owns the process in which the SDK submits a job: short-lived, single-threaded, in a folder of its own, with a deadline; refuses
to give it an identity: it gets tokens that expire.

The SDK shares state between its threads (a job may get another's code), hangs for ever when an upload fails, and takes git
properties from the folder that it runs in. A process for each submission contains all three.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.failures import Problem, without_secrets
from service.adapters.backends.azureml.sdk import Sdks
from service.domain.errors import Retry

_SCRIPT = Path(__file__).resolve().parent / "sdk" / "submit.py"
_AT_ONCE = 3
"""Each takes 110 MB."""
_LONGEST_WORDS, _LARGEST_ANSWER = 2_000, 1024 * 1024
_PASSED_ON = (
    "PATH", "LANG", "TMPDIR", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "https_proxy", "NO_PROXY",
    "no_proxy",
)  # fmt: skip


class Submitter:
    """Submits what lies in a folder. Thread-safe."""

    def __init__(self, azure: Azure, sdks: Sdks, *, seconds: float) -> None:
        self._azure = azure
        self._sdks = sdks
        self._seconds = seconds
        self._seats = threading.BoundedSemaphore(_AT_ONCE)

    def submit(self, folder: Path, file: str = "job.yml") -> Mapping[str, Any]:
        """``{"name": …, "status": …}`` of the job that ``file`` describes, with all that it names lying in ``folder``, which
        becomes the process's own. ``Problem`` for what Azure answered instead; ``Retry`` if the SDK did not end in time."""
        python = self._sdks.python()
        with self._seats:
            answer = self._answered(python, folder, self._request(file))
        if "problem" in answer:
            problem = answer["problem"]
            raise Problem(
                str(problem["operation"]),
                int(problem["status"]),
                str(problem["code"]),
                str(problem["said"]),
                problem["after"],
            )
        return answer

    def _request(self, file: str) -> dict[str, Any]:
        declared = self._azure.declared
        return {
            "file": file, "subscription": declared.subscription, "resource_group": declared.resource_group,
            "workspace": declared.workspace, "tokens": self._azure.tokens(), "cloud": declared.cloud,
            "endpoints": declared.endpoints.model_dump() if declared.endpoints else None,
        }  # fmt: skip

    def _answered(self, python: Path, folder: Path, request: Mapping[str, Any]) -> dict[str, Any]:
        answer, log = folder / ".refit-answer.json", folder / ".refit-sdk.log"
        environment = {name: value for name, value in os.environ.items() if name in _PASSED_ON} | {"HOME": str(folder)}
        with log.open("wb") as said:
            process = subprocess.Popen(
                [python, "-I", _SCRIPT, str(answer)], cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=said,
                stderr=said, start_new_session=True,
            )  # fmt: skip
            try:
                process.communicate(json.dumps(request).encode(), timeout=self._seconds)
            except subprocess.TimeoutExpired:
                words = _last_words(log)
                raise Retry(f"submitting: Azure ML's SDK did not end within {self._seconds:g} s: {words}") from None
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        try:
            found: dict[str, Any] = json.loads(answer.read_bytes()[:_LARGEST_ANSWER])
            return found
        except (OSError, ValueError) as error:
            raise Retry(
                f"submitting: the process of Azure ML's SDK ended with {process.returncode}: {_last_words(log)}"
            ) from error


def _last_words(log: Path) -> str:
    """The log is the SDK's: what looks like a secret in it is none of anybody's business."""
    return without_secrets(log.read_text(encoding="utf-8", errors="replace")[-_LONGEST_WORDS:]).strip()
