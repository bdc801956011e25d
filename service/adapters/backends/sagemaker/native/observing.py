"""Owns one step of a native execution → an observation, with what it measured or why it failed; refuses to look by itself.

The script is the repository's own and reports nothing to Refit: digests stand for its outputs that were known when it was
submitted, and what lies at its places then is noted, to be known again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from service.adapters.backends.cloud.failures import ERROR_LINES
from service.adapters.backends.cloud.looks import Look
from service.adapters.backends.cloud.outputs import Index, NativeOutput, fingerprint
from service.adapters.backends.sagemaker.aws import Bucket, Cloud, calling
from service.adapters.backends.sagemaker.following import IN_PROGRESS
from service.adapters.backends.sagemaker.loglines import Logs
from service.adapters.backends.sagemaker.names import Handle
from service.adapters.backends.sagemaker.native.expressions import MODEL
from service.adapters.backends.sagemaker.native.submissions import Noted, Submissions
from service.adapters.backends.sagemaker.observing import (
    VANISHED,
    Job,
    described_by,
    job_of,
    link_to,
    not_begun,
    utc,
    with_next_step,
)
from service.adapters.backends.steps.metrics import LARGEST_METRICS, UnreadableMetrics, parse_metrics
from service.domain.execution import Artifact, Observation, Seen

_OWN_PLACES = frozenset({"Processing", "Training"})


class NativeObserver:
    """Tells how a native step stands."""

    def __init__(self, cloud: Cloud, bucket: Bucket, index: Index, logs: Logs, submissions: Submissions) -> None:
        self._cloud = cloud
        self._bucket = bucket
        self._index = index
        self._logs = logs
        self._submissions = submissions

    def observation(self, look: Look, handle: Handle) -> Observation:
        """A step in a branch that was not taken has its result without having run, since nothing is left to do for it."""
        noted = self._submissions.step(handle.notes, handle.step)
        row = look.steps.get(handle.step)
        if row is None:
            why = _left_out(look, noted)
            if not why:
                return not_begun(look, handle.step)
            seen = Observation(Seen.RUNNING, started_at=look.changed, ended_at=look.changed, note=why)
            return self._succeeded(seen, handle, noted, {}, None)
        job = job_of(row)
        seen = Observation(Seen.RUNNING, started_at=utc(row.get("StartTime")), job=self._link(row, job))
        if row["StepStatus"] in IN_PROGRESS:
            return seen
        seen = replace(seen, ended_at=utc(row.get("EndTime")) or look.changed)
        match row["StepStatus"]:
            case "Succeeded":
                return self._succeeded(seen, handle, noted, row, job)
            case "Stopped":
                stopped = look.status in ("Stopped", "Stopping", "Executing")
                return replace(seen, seen=Seen.CANCELLED if stopped else Seen.SKIPPED, error="stopped")
            case _:
                return self._failed(seen, job, str(row.get("FailureReason", "")))

    def _link(self, row: Mapping[str, Any], job: Job | None) -> str:
        """A job's page of the console; else the ARN of whatever the step made: a model, a version of one."""
        if job is not None:
            return link_to(self._cloud, job)
        arns = (str(one["Arn"]) for one in row.get("Metadata", {}).values() if isinstance(one, dict) and one.get("Arn"))
        return next(arns, "")

    # success ----------------------------------------------------------------------------------------------------------

    def _succeeded(
        self, seen: Observation, handle: Handle, noted: Noted, row: Mapping[str, Any], job: Job | None
    ) -> Observation:
        """With its outputs' places written to the index before anybody can hear of the success."""
        metrics: dict[str, float] = {}
        with calling(f"reading what {handle.step} made"):
            places = _places(described_by(self._cloud, job), job) if job is not None and job.kind in _OWN_PLACES else {}
            outputs, made = [], {}
            for name, digest in noted.outputs.items():
                uri = places.get(name, "")
                print_, size = fingerprint(self._bucket, uri) if uri else ("", 0)
                outputs.append(Artifact(name, digest, size, uri))
                made[digest] = NativeOutput(handle.execution, handle.step, uri, print_)
            for output, path in noted.reports if row else ():
                content = self._bucket.read(f"{places[output]}/{path}", LARGEST_METRICS) if output in places else None
                metrics |= _measured(content, path)
            self._index.write_native(made)
        return replace(seen, seen=Seen.SUCCEEDED, outputs=tuple(outputs), metrics=metrics)

    # failure ----------------------------------------------------------------------------------------------------------

    def _failed(self, seen: Observation, job: Job | None, reason: str) -> Observation:
        """In SageMaker's words, and the last lines of the log: there the script says why."""
        if VANISHED.match(reason):
            return replace(seen, seen=Seen.LOST, error=reason)
        if job is None or job.kind not in _OWN_PLACES:
            return replace(seen, seen=Seen.FAILED, error=with_next_step(reason or "SageMaker could not carry it out"))
        with calling(f"reading why {job.name} failed"):
            described = described_by(self._cloud, job)
        why = str(described.get("ExitMessage") or described.get("FailureReason") or reason)
        lines = [text for _, text in self._logs.tail(job.log_group, job.name)]
        error = "\n".join([*with_next_step(why).splitlines()[:1], *lines[-ERROR_LINES:]])
        return replace(seen, seen=Seen.FAILED, error=error)


def _left_out(look: Look, noted: Noted) -> str:
    """Why a step that has no row will never have one, though nothing failed; ``""`` if it may."""
    for branch in noted.inside:
        found = look.steps.get(branch.condition, {})
        outcome = found.get("Metadata", {}).get("Condition", {}).get("Outcome")
        if found.get("StepStatus") == "Succeeded" and outcome in ("True", "False") and outcome != str(branch.outcome):
            return f"it did not run: {branch.condition} came out as {outcome.lower()}"
    if look.status == "Succeeded":
        return "it did not run: the pipeline execution succeeded without it"
    return ""


def _places(described: Mapping[str, Any], job: Job) -> dict[str, str]:
    """Output → where it lies."""
    if job.kind == "Training":
        return {MODEL: str(described["ModelArtifacts"]["S3ModelArtifacts"])}
    outputs = described.get("ProcessingOutputConfig", {}).get("Outputs", ())
    return {str(one["OutputName"]): str(one["S3Output"]["S3Uri"]).rstrip("/") for one in outputs if "S3Output" in one}


def _measured(content: bytes | None, path: str) -> dict[str, float]:
    """A report that is none measures nothing: the definition's own conditions may read anything."""
    if content is None:
        return {}
    try:
        return parse_metrics(content, path)
    except UnreadableMetrics:
        return {}
