"""Owns the emulator as a process of its own: started on a free port, ended by its own id; refuses to share one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from service.adapters.backends.sagemaker.declared import Declared
from tests.conftest import absent

ROOT = Path(__file__).resolve().parents[3]
REGION, BUCKET = "eu-west-1", "refit-tests"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests"}
ROLE = "arn:aws:iam::123456789012:role/refit"


@dataclass(frozen=True)
class SageMaker:
    """A running emulator with one bucket."""

    url: str

    def client(self, name: str = "sagemaker", retries: int = 0) -> Any:
        return boto3.client(
            name,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(retries={"total_max_attempts": retries + 1}),
        )

    def declared(self, **more: Any) -> Declared:
        """As an operator declares it."""
        given = {"region": REGION, "role": ROLE, "bucket": BUCKET, "endpoint_url": self.url, **more}
        return Declared(type="sagemaker", **given)

    def fault(self, operation: str, error: str, times: int = 1, *, after: bool = False) -> None:
        """The next calls of this operation fail; ``after`` having been carried out."""
        body = {"operation": operation, "error": error, "times": times, "after": after}
        request = urllib.request.Request(f"{self.url}/_emulator/faults", json.dumps(body).encode(), method="POST")
        urllib.request.urlopen(request).close()

    def clear(self) -> None:
        """What was to fail and has not yet will not."""
        request = urllib.request.Request(f"{self.url}/_emulator/faults", method="DELETE")
        urllib.request.urlopen(request).close()

    def calls(self) -> dict[str, int]:
        """How often each operation was called."""
        with urllib.request.urlopen(f"{self.url}/_emulator/calls") as answer:
            return dict(json.load(answer)["calls"])


def require_unshare() -> None:
    """Its jobs have an /opt/ml of their own, for which this machine must allow mount namespaces."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    if subprocess.run(["unshare", "--mount", *as_root, "true"], capture_output=True, check=False).returncode:
        absent("unshare", "mount namespaces are not allowed here; root has them")


@contextmanager
def running(folder: Path, python: str = sys.executable, *more: str) -> Iterator[SageMaker]:
    """``python`` is the interpreter that every image has, ``more`` are flags of the emulator."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "tests.emulators.sagemaker", "--folder", str(folder), "--python", python, *more]
    with (folder / "emulator.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None, "started with a pipe"
        url = process.stdout.readline().strip()
        assert url, (folder / "emulator.log").read_text()
        cloud = SageMaker(url)
        cloud.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield cloud
    finally:
        process.terminate()
        process.wait()


@contextmanager
def reachable(folder: Path, *more: str) -> Iterator[SageMaker]:
    """One that this very process's clients may call, as a service's do: with credentials from the environment."""
    require_unshare()
    with pytest.MonkeyPatch.context() as patch, running(folder, sys.executable, *more) as cloud:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield cloud
