"""Owns one step of a look → an observation, with what its job reported or why it failed; refuses to look by itself."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from service.adapters.backends.cloud.failures import explained
from service.adapters.backends.cloud.looks import Look
from service.adapters.backends.cloud.outputs import NO_REPORT, Index, Report, Unbelievable, read_report
from service.adapters.backends.sagemaker.aws import Bucket, Cloud, calling
from service.adapters.backends.sagemaker.following import IN_PROGRESS
from service.adapters.backends.sagemaker.loglines import Logs
from service.adapters.backends.steps.container.receipts import REPORT, REPORT_FILE
from service.domain.execution import Artifact, Observation, Seen

VANISHED = re.compile(r"(?:InternalServerError|InternalError|CapacityError|InternalServiceError)\b")
_LARGEST_ARCHIVE, _LARGEST_REPORT = 64 * 1024 * 1024, 4 * 1024 * 1024


@dataclass(frozen=True)
class Job:
    """What runs a step. ``kind`` is ``Processing``, ``Training`` or, of a native step only, ``Transform``."""

    kind: str
    arn: str

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]

    @property
    def log_group(self) -> str:
        return f"/aws/sagemaker/{self.kind}Jobs"


def job_of(row: Mapping[str, Any]) -> Job | None:
    """The job of a step's row, once it has one."""
    for kind in ("Processing", "Training", "Transform"):
        arn = row.get("Metadata", {}).get(f"{kind}Job", {}).get("Arn")
        if arn:
            return Job(kind, arn)
    return None


def link_to(cloud: Cloud, job: Job | None) -> str:
    """A job's page of the console; its ARN where there is none."""
    if job is None:
        return ""
    region = cloud.declared.region
    if cloud.declared.endpoint_url or not job.arn.startswith("arn:aws:"):
        return job.arn
    place = {"Processing": "processing-jobs", "Training": "jobs", "Transform": "transform-jobs"}[job.kind]
    return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/{place}/{job.name}"


def described_by(cloud: Cloud, job: Job) -> Mapping[str, Any]:
    """What SageMaker says of a job."""
    ask = getattr(cloud.sagemaker, f"describe_{job.kind.lower()}_job")
    found: Mapping[str, Any] = ask(**{f"{job.kind}JobName": job.name})
    return found


def not_begun(look: Look, step: str) -> Observation:
    """A step without a row: one that has not begun when its execution has ended never will."""
    if not look.has_ended:
        return Observation(Seen.RUNNING)
    if look.status == "Stopped":
        return Observation(Seen.CANCELLED, error="stopped before it began", ended_at=look.changed)
    why = f"the pipeline execution ended as {look.status} before {step} began"
    return Observation(Seen.SKIPPED, error=why, ended_at=look.changed)


class Observer:
    """Tells how a step stands."""

    def __init__(self, cloud: Cloud, bucket: Bucket, index: Index, logs: Logs) -> None:
        self._cloud = cloud
        self._bucket = bucket
        self._index = index
        self._logs = logs

    def observation(self, look: Look, step: str) -> Observation:
        row = look.steps.get(step)
        if row is None:
            return not_begun(look, step)
        job = job_of(row)
        seen = Observation(Seen.RUNNING, started_at=utc(row.get("StartTime")), job=link_to(self._cloud, job))
        if row["StepStatus"] in IN_PROGRESS:
            return seen
        seen = replace(seen, ended_at=utc(row.get("EndTime")) or look.changed)
        match row["StepStatus"]:
            case "Succeeded" if job is not None:
                return self._succeeded(seen, job)
            case "Stopped":
                stopped = look.status in ("Stopped", "Stopping", "Executing")
                return replace(seen, seen=Seen.CANCELLED if stopped else Seen.SKIPPED, error="stopped")
            case _:
                return self._failed(seen, job, str(row.get("FailureReason", "")))

    # success ----------------------------------------------------------------------------------------------------------

    def _succeeded(self, seen: Observation, job: Job) -> Observation:
        """With its outputs' places written to the index before anybody can hear of the success."""
        with calling(f"reading what {job.name} made"):
            described = described_by(self._cloud, job)
            try:
                report = self._processed(described) if job.kind == "Processing" else self._trained(described)
                placed = [replace(one, uri=self._place(job, described, one)) for one in report.outputs]
            except Unbelievable as problem:
                return replace(seen, seen=Seen.FAILED, error=f"the job ended well, but {problem}")
            self._index.write(placed)
        return replace(
            seen, seen=Seen.SUCCEEDED, exit_code=report.exit_code, inputs=report.inputs, outputs=report.outputs,
            metrics=report.metrics, environment=report.environment,
        )  # fmt: skip

    def _processed(self, described: Mapping[str, Any]) -> Report:
        content = self._bucket.read(f"{output_of(described, REPORT)}/{REPORT_FILE}", _LARGEST_REPORT)
        if content is None:
            raise Unbelievable(NO_REPORT)
        return read_report(content)

    def _trained(self, described: Mapping[str, Any]) -> Report:
        """The archive of a training job's data holds the report."""
        uri = described["ModelArtifacts"]["S3ModelArtifacts"].rpartition("/")[0] + "/output.tar.gz"
        content = self._bucket.read(uri, _LARGEST_ARCHIVE)
        if content is None or len(content) > _LARGEST_ARCHIVE:
            raise Unbelievable(NO_REPORT)
        try:
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
                for member in archive:
                    if member.isreg() and member.name.removeprefix("./") == REPORT_FILE:
                        file = archive.extractfile(member)
                        return read_report(file.read(_LARGEST_REPORT + 1) if file is not None else b"")
        except (tarfile.TarError, OSError, EOFError) as error:
            raise Unbelievable(f"its data cannot be read: {type(error).__name__}") from error
        raise Unbelievable(NO_REPORT)

    @staticmethod
    def _place(job: Job, described: Mapping[str, Any], artifact: Artifact) -> str:
        if job.kind == "Training":
            return str(described["ModelArtifacts"]["S3ModelArtifacts"])
        return output_of(described, artifact.name)

    # failure ----------------------------------------------------------------------------------------------------------

    def _failed(self, seen: Observation, job: Job | None, reason: str) -> Observation:
        """In the step's own words where the container had any; else in SageMaker's."""
        if VANISHED.match(reason):
            return replace(seen, seen=Seen.LOST, error=reason)
        if job is None:
            return replace(seen, seen=Seen.FAILED, error=with_next_step(reason or "SageMaker could not start the job"))
        with calling(f"reading why {job.name} failed"):
            described = described_by(self._cloud, job)
        tail = self._logs.tail(job.log_group, job.name)
        said = str(described.get("ExitMessage", "")).splitlines()
        own = [text for stream, text in tail if stream == "refit"]
        why = said[0] if said else own[-1] if own else ""
        if not why:
            return replace(seen, seen=Seen.FAILED, error=with_next_step(str(described.get("FailureReason") or reason)))
        error, code = explained(why, tail, said[1:])
        return replace(seen, seen=Seen.FAILED, error=error, exit_code=code)


def output_of(described: Mapping[str, Any], name: str) -> str:
    for one in described["ProcessingOutputConfig"]["Outputs"]:
        if one["OutputName"] == name:
            return str(one["S3Output"]["S3Uri"]).rstrip("/")
    raise Unbelievable(f"its report names {name!r}, which the job does not upload")


def with_next_step(reason: str) -> str:
    if "ResourceLimitExceeded" in reason:
        return f"{reason}; ask AWS to raise this quota of the account, or name another `instance`"
    if "AccessDenied" in reason or "not authorized" in reason:
        return f"{reason}; add it to the policy of the jobs' role"
    return reason


def utc(value: datetime | None) -> datetime | None:
    return value.astimezone(UTC) if value is not None else None
