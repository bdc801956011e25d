"""Owns one look at a pipeline execution, in as few calls as it takes; refuses to interpret a step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from service.adapters.backends.cloud.looks import LOOKS_PER_SECOND, Look, Looks
from service.adapters.backends.sagemaker.aws import Cloud, calling

ENDED = frozenset({"Succeeded", "Failed", "Stopped", "CompletedWithFailures"})
IN_PROGRESS = frozenset({"Starting", "Executing", "Stopping"})


class Executions(Looks):
    """By ARN."""

    def __init__(self, cloud: Cloud, poll: tuple[float, float], rate: float = LOOKS_PER_SECOND) -> None:
        super().__init__(self._looked_at, poll, rate)
        self._cloud = cloud

    def _looked_at(self, arn: str) -> Look:
        """While a step is at work the execution is, and need not be asked. Once it has ended its steps are listed again:
        one may have begun and ended between the two calls."""
        with calling("looking at a pipeline execution"):
            steps = self._steps(arn)
            if any(row["StepStatus"] in IN_PROGRESS for row in steps.values()):
                return _look("Executing", datetime.now(UTC), steps)
            found = self._cloud.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            status, changed = found["PipelineExecutionStatus"], found["LastModifiedTime"].astimezone(UTC)
            return _look(status, changed, self._steps(arn) if status in ENDED else steps)

    def _steps(self, arn: str) -> dict[str, Mapping[str, Any]]:
        pages = self._cloud.sagemaker.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn)
        return {row["StepName"]: row for page in pages for row in page["PipelineExecutionSteps"]}


def _look(status: str, changed: datetime, steps: Mapping[str, Mapping[str, Any]]) -> Look:
    begun = [row["StartTime"] for row in steps.values() if row.get("StartTime")]
    return Look(status, status in ENDED, changed, steps, min(begun, default=None))
