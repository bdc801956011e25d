"""Owns a commit's ``pipeline.py`` → its definition and what it uploads, by content; refuses to let it see a credential, and to
say what the definition means."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from service.adapters.backends.sagemaker.sdk import Version
from service.adapters.backends.sandbox.driving import Driving, Question
from service.adapters.backends.sandbox.footprint import Seen, seen_of
from service.domain.errors import Refused

_DRIVER = Path(__file__).resolve().parent / "inside" / "refit_driver.py"
_WARM: Mapping[Version, str] = {
    "v2": "import sagemaker.workflow.pipeline, sagemaker.workflow.steps, sagemaker.workflow.step_collections, "
    "sagemaker.workflow.condition_step, sagemaker.workflow.pipeline_context, sagemaker.sklearn.processing, "
    "sagemaker.sklearn.estimator, sagemaker.xgboost.estimator, sagemaker.workflow.model_step, sagemaker.pipeline",
    "v3": "import sagemaker.mlops.workflow.pipeline, sagemaker.mlops.workflow.steps, sagemaker.train, "
    "sagemaker.core.processing, sagemaker.mlops.workflow.condition_step, sagemaker.mlops.workflow.model_step",
}
"""What nearly every pipeline imports."""
_CONFIGURATION = "SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n"
"""Telemetry goes past every endpoint that is set."""


class Sdks(Protocol):
    """Where the SDKs' interpreters are."""

    def python(self, version: Version) -> Path: ...


@dataclass(frozen=True, slots=True)
class Account:
    """Where the operator's backend runs: what ``get_pipeline`` is told. The default stands for nobody's account."""

    region: str = "us-east-1"
    role: str = "arn:aws:iam::000000000000:role/refit"
    bucket: str = "refit-native"

    @property
    def number(self) -> str:
        """The twelve digits of the role's account."""
        return self.role.split(":")[4]


@dataclass(frozen=True)
class Use:
    """What to compile: the file, by which SDK, for whom, with which arguments."""

    path: str
    sdk: Version
    account: Account
    arguments: Mapping[str, object] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """Canonical: the same text compiles the same files to the same definition."""
        account = [self.account.region, self.account.role, self.account.bucket]
        return json.dumps([self.path, self.sdk, account, dict(self.arguments)], sort_keys=True)


@dataclass(frozen=True)
class Upload:
    """One object that the compile put into S3. ``oids`` are git's names of its bytes; of an archive, ``members`` has those
    of its files by their names. ``text`` is there for small files."""

    uri: str
    sha256: str
    size: int
    oids: tuple[str, ...]
    members: Mapping[str, tuple[str, ...]] | None = None
    text: str = ""


@dataclass(frozen=True)
class Compiled:
    """A definition, and the same compiled at another time: where they differ, they say nothing of the commit."""

    definition: Mapping[str, Any]
    again: Mapping[str, Any]
    uploads: tuple[Upload, ...]
    uploads_again: tuple[Upload, ...]
    seen: Seen
    text: str


class NativeCompiler:
    """Compiles one at a time. Uploaded bytes lie in ``objects`` below ``folder``, by their sha256. ``unconfined`` is the
    operator's word that code may run where this machine allows no namespaces."""

    def __init__(self, sdks: Sdks, folder: Path, hidden: tuple[Path, ...] = (), *, unconfined: bool = False) -> None:
        self._sdks = sdks
        self._folder = folder
        self._driving = Driving(folder, hidden, unconfined=unconfined)
        self.sandbox = self._driving.sandbox

    def isolation(self) -> str:
        return self._driving.isolation()

    @property
    def objects(self) -> Path:
        return self._folder / "objects"

    def compile(self, use: Use, export: Callable[[Path], None]) -> Compiled:
        """``export`` writes the commit's files into an empty folder. ``Refused`` says what the code raised and where;
        ``Retry`` if the SDK cannot be had now."""
        question = Question(
            path=use.path,
            python=partial(self._sdks.python, use.sdk),
            script=_DRIVER,
            request=_request(use),
            warm=_WARM[use.sdk],
            files={"sdk.yaml": _CONFIGURATION},
            environment=lambda scratch: _environment(use, scratch),
        )
        self.objects.mkdir(parents=True, exist_ok=True)
        with self._driving.answered(question, export) as (answer, objects, _):
            try:
                compiled = _read(answer)
            except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
                raise Refused(
                    f"compiling {use.path}: get_pipeline() gives no definition ({type(error).__name__})"
                ) from error
            for upload in compiled.uploads:
                self._keep(objects / upload.sha256, upload.sha256, use.path)
        return compiled

    def _keep(self, path: Path, digest: str, what: str) -> None:
        """By content, checked here: the sandbox's word is not taken for it."""
        to = self.objects / digest
        if to.exists():
            return
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError as error:
            raise Refused(f"compiling {what}: an upload is missing") from error
        found, unfinished = hashlib.sha256(), to.with_name(f".{digest}.{os.getpid()}")
        with os.fdopen(descriptor, "rb") as source, unfinished.open("wb") as target:
            while block := source.read(1 << 20):
                found.update(block)
                target.write(block)
        if found.hexdigest() != digest:
            unfinished.unlink()
            raise Refused(f"compiling {what}: an upload is not what its name says")
        os.replace(unfinished, to)

    def clear(self) -> None:
        """Forget every upload."""
        shutil.rmtree(self.objects, ignore_errors=True)


def _request(use: Use) -> Mapping[str, object]:
    account = use.account
    name = use.path.rpartition("/")[0].rpartition("/")[2] or "pipeline"
    project = f"arn:aws:sagemaker:{account.region}:{account.number}:project/refit"
    return {
        "account": account.number,
        "with": dict(use.arguments),
        "always": {"region": account.region, "role": account.role, "default_bucket": account.bucket},
        "if_needed": {
            "sagemaker_project_arn": project,
            "sagemaker_project_name": "refit",
            "sagemaker_project_id": "p-refit",
            "model_package_group_name": name,
            "pipeline_name": name,
            "base_job_prefix": name,
            "execution_role": account.role,
            "role_arn": account.role,
            "bucket": account.bucket,
        },
    }


def _environment(use: Use, scratch: Path) -> dict[str, str]:
    """What AWS's libraries look for: no account of anybody's."""
    return {
        "AWS_DEFAULT_REGION": use.account.region,
        "AWS_REGION": use.account.region,
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(scratch / "sdk.yaml"),
        "SAGEMAKER_ADMIN_CONFIG_OVERRIDE": str(scratch / "sdk.yaml"),
        "SAGEMAKER_VALIDATE_ROLE": "false",
    }


def _read(answer: Mapping[str, Any]) -> Compiled:
    return Compiled(
        definition=json.loads(answer["definition"]),
        again=json.loads(answer["again"]),
        uploads=tuple(map(_upload, answer["uploads"])),
        uploads_again=tuple(map(_upload, answer["uploads_again"])),
        seen=seen_of(answer),
        text=json.dumps(answer, sort_keys=True),
    )


def _upload(row: Mapping[str, Any]) -> Upload:
    members = row.get("members")
    digest = str(row["sha256"])
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise Refused("compiling: an upload has a name that is none")
    return Upload(
        uri=f"s3://{row['bucket']}/{row['key']}",
        sha256=digest,
        size=int(row["size"]),
        oids=tuple(row["oids"]),
        members=None if members is None else {name: tuple(oids) for name, oids in members.items()},
        text=str(row.get("text", "")),
    )


def compiled_of(text: str) -> Compiled:
    """What was kept of an earlier compile."""
    return _read(json.loads(text))
