"""Owns one container's life without a container: its command in a mount namespace whose /opt/ml is its own, inputs from
S3, outputs to S3, lines to CloudWatch; refuses to know pipelines."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

_SHELL = """
mkdir -p /opt/ml 2>/dev/null || { mount -t tmpfs tmpfs /opt && mkdir /opt/ml; }
mount --bind "$1" /opt/ml && cd "$2" && shift 2 && exec "$@"
"""
_MAKING = threading.Lock()
"""A session makes no clients for several threads at once."""


class JobFailed(Exception):
    """The container's exit, as SageMaker words it."""


class JobStopped(Exception):
    """Somebody stopped the execution."""


@dataclass
class Cloud:
    """What jobs reach of AWS, and which interpreter stands for ``python3`` in every image. Jobs of a ``still`` cloud run
    nothing and last until they are stopped: a thousand of them are to be looked at. Events go to the ``queue``, if any."""

    endpoint: str
    python: str
    folder: Path
    still: bool = False
    queue: str = ""
    _clients: threading.local = field(default_factory=threading.local)

    def client(self, name: str) -> Any:
        if not hasattr(self._clients, name):
            with _MAKING:
                made = boto3.client(
                    name, endpoint_url=self.endpoint, region_name="eu-west-1", aws_access_key_id="emulator",
                    aws_secret_access_key="emulator",
                )  # fmt: skip
            setattr(self._clients, name, made)
        return getattr(self._clients, name)


class _Batch:
    """Events on their way to CloudWatch: soon, and many at a time, as the log agent does."""

    def __init__(self, put: Callable[[list[dict[str, Any]]], object]) -> None:
        self._put = put
        self._lock = threading.Lock()
        self._events: list[dict[str, Any]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, event: dict[str, Any]) -> None:
        with self._lock:
            self._events.append(event)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _work(self) -> None:
        while not (closed := self._closed.wait(0.03)) or self._events:
            with self._lock:
                events, self._events = self._events, []
            for at in range(0, len(events), 5_000):
                self._put(events[at : at + 5_000])
            if closed and not self._events:
                return


class Job:
    """One processing or training job. ``stop`` may be called from any thread."""

    def __init__(self, cloud: Cloud, kind: str, name: str, arguments: Mapping[str, Any]) -> None:
        self.cloud = cloud
        self.name = name
        self.arguments = arguments
        self.ml = cloud.folder / "jobs" / name / "ml"
        self.ml.mkdir(parents=True)
        self._group = f"/aws/sagemaker/{kind}Jobs"
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()
        process = self._process
        if process is not None and process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)

    # processing -------------------------------------------------------------------------------------------------------

    def process(self) -> None:
        """Download, run, upload. Raises ``JobFailed`` or ``JobStopped``."""
        if self.cloud.still:
            self._stopped.wait()
            raise JobStopped
        specification = self.arguments["AppSpecification"]
        for one in self.arguments.get("ProcessingInputs", []):
            if "S3Input" in one:
                self._download(one["S3Input"]["S3Uri"], one["S3Input"]["LocalPath"])
        outputs = self.arguments.get("ProcessingOutputConfig", {}).get("Outputs", [])
        for one in outputs:
            self._inside(one["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
        command = [*specification.get("ContainerEntrypoint", []), *specification.get("ContainerArguments", [])]
        self._run(command, self.arguments.get("Environment", {}), "/")
        for one in outputs:
            self._upload(self._inside(one["S3Output"]["LocalPath"]), one["S3Output"]["S3Uri"])

    # training ---------------------------------------------------------------------------------------------------------

    def train(self) -> str:
        """As the framework images do with the sagemaker-training toolkit; the URI of the model's archive."""
        given = {name: _plain(value) for name, value in self.arguments.get("HyperParameters", {}).items()}
        environment = {"SM_MODEL_DIR": "/opt/ml/model", "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data"}
        for channel in self.arguments.get("InputDataConfig", []):
            path = f"/opt/ml/input/data/{channel['ChannelName']}"
            self._download(channel["DataSource"]["S3DataSource"]["S3Uri"], path)
            environment[f"SM_CHANNEL_{channel['ChannelName'].upper()}"] = path
        for folder in ("model", "output/data", "code", "input/config"):
            (self.ml / folder).mkdir(parents=True, exist_ok=True)
        strings = {name: str(value) for name, value in self.arguments.get("HyperParameters", {}).items()}
        (self.ml / "input/config/hyperparameters.json").write_text(json.dumps(strings))
        program, submitted = given.pop("sagemaker_program", None), given.pop("sagemaker_submit_directory", None)
        if program is None or submitted is None:
            raise JobFailed("AlgorithmError: the image has no entry point that the emulator knows")
        with tarfile.open(fileobj=io.BytesIO(self._read(submitted))) as archive:
            for member in archive:  # not extractall: its filter is younger than some Python 3.11
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None:
                    target = self.ml / "code" / os.path.normpath(f"/{member.name}").lstrip("/")
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(content.read())
        if (self.ml / "code/requirements.txt").exists():
            self._run(["python3", "-m", "pip", "install", "-q", "-r", "requirements.txt"], {}, "/opt/ml/code")
        own = {name: value for name, value in given.items() if not name.startswith("sagemaker_")}
        flags = [word for name, value in sorted(own.items()) for word in (f"--{name}", str(value))]
        environment |= {f"SM_HP_{name.upper()}": str(value) for name, value in own.items()}
        self._run(
            ["python3", program, *flags], environment | dict(self.arguments.get("Environment", {})), "/opt/ml/code"
        )
        output = self.arguments["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        model = f"{output}/{self.name}/output/model.tar.gz"
        self._write(model, _archive(self.ml / "model"))
        if any((self.ml / "output/data").iterdir()):
            self._write(f"{output}/{self.name}/output/output.tar.gz", _archive(self.ml / "output/data"))
        return model

    # the container ----------------------------------------------------------------------------------------------------

    def _run(self, command: Sequence[str], environment: Mapping[str, str], folder: str) -> None:
        if self._stopped.is_set():
            raise JobStopped
        words = [self.cloud.python if word in ("python", "python3") else word for word in command]
        as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
        bin_folder = str(Path(self.cloud.python).parent)
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", *as_root,
             "sh", "-c", _SHELL, "sh", str(self.ml), folder, *words],
            env={"PATH": f"{bin_folder}:/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "PYTHONUNBUFFERED": "1",
                 "OMP_WAIT_POLICY": "PASSIVE",  # where jobs share few processors, waiting busily takes five times as long
                 "PIP_DISABLE_PIP_VERSION_CHECK": "1", "AWS_DEFAULT_REGION": "eu-west-1",
                 **{name: value for name, value in os.environ.items() if name.startswith(("SSL_", "PIP_"))},
                 **environment},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        if self._stopped.is_set():  # between the look above and the start: ``stop`` found nothing to end
            os.killpg(self._process.pid, signal.SIGKILL)
        tail = self._copy_lines()
        code = self._process.wait()
        if self._stopped.is_set():
            raise JobStopped
        if code and self._group.startswith("/aws/sagemaker/Processing"):
            raise JobFailed(
                f"AlgorithmError: {self.last_words('message') or 'See job logs for more information'}"[:1024]
            )
        if code:  # the training toolkit writes /opt/ml/output/failure itself, over what the script may have written
            shown = "\n".join(tail)[-900:]
            raise JobFailed(f'AlgorithmError: ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{shown}"')

    def _copy_lines(self) -> list[str]:
        """Every line to CloudWatch while it is written, a batch at a time; the last ones."""
        logs = self.cloud.client("logs")
        stream = f"{self.name}/algo-1-{int(time.time())}"
        for act, more in ((logs.create_log_group, {}), (logs.create_log_stream, {"logStreamName": stream})):
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                act(logGroupName=self._group, **more)
        assert self._process is not None, "started just before"
        assert self._process.stdout is not None, "started with a pipe"
        batch = _Batch(
            lambda events: logs.put_log_events(logGroupName=self._group, logStreamName=stream, logEvents=events)
        )
        tail: list[str] = []
        for line in self._process.stdout:
            text = line.decode("utf-8", "replace").rstrip("\n")
            tail = [*tail[-39:], text]
            batch.add({"timestamp": int(time.time() * 1000), "message": text or " "})
        batch.close()
        return tail

    def last_words(self, name: str) -> str:
        """What the container wrote to ``/opt/ml/output/message`` or ``failure``; AWS keeps the first KiB."""
        path = self.ml / "output" / name
        return path.read_bytes()[:1024].decode("utf-8", "ignore") if path.is_file() else ""

    def _inside(self, path: str) -> Path:
        if not path.startswith("/opt/ml/"):
            raise JobFailed(f"ClientError: LocalPath {path} is not below /opt/ml")
        return self.ml / path.removeprefix("/opt/ml/")

    # S3 ---------------------------------------------------------------------------------------------------------------

    def _download(self, uri: str, path: str) -> None:
        """One object under its own name, or everything below a prefix."""
        bucket, key = _split(uri)
        s3, target = self.cloud.client("s3"), self._inside(path)
        target.mkdir(parents=True, exist_ok=True)
        found = [one["Key"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
                 for one in page.get("Contents", [])]  # fmt: skip
        if not found:
            raise JobFailed(f"ClientError: Data download failed: no object matches {uri}")
        for one in found:
            name = os.path.relpath(one, key) if one.startswith(f"{key.rstrip('/')}/") else os.path.basename(one)
            to = target / name
            to.parent.mkdir(parents=True, exist_ok=True)
            s3.download_file(bucket, one, str(to))

    def _upload(self, folder: Path, uri: str) -> None:
        bucket, key = _split(uri)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name = f"{key.rstrip('/')}/{path.relative_to(folder).as_posix()}"
                self.cloud.client("s3").upload_file(str(path), bucket, name)

    def _read(self, uri: str) -> bytes:
        bucket, key = _split(uri)
        return bytes(self.cloud.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())

    def _write(self, uri: str, content: bytes) -> None:
        bucket, key = _split(uri)
        self.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=content)


def _split(uri: str) -> tuple[str, str]:
    if not uri.startswith("s3://"):
        raise JobFailed(f"ClientError: {uri} is not an S3 URI")
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _plain(value: Any) -> Any:
    """The SDKs write hyperparameters as JSON text; the toolkit reads them back."""
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value


def _archive(folder: Path) -> bytes:
    """As SageMaker does, times and all: the same content twice is not the same archive."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name)
    return made.getvalue()
