"""Owns which earlier executions of a native pipeline can stand in for steps that do not run again; refuses to choose one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from botocore.exceptions import ClientError

from service.adapters.backends.cloud.outputs import Index
from service.adapters.backends.sagemaker.aws import Cloud, calling, is_absent
from service.adapters.backends.sagemaker.following import Executions
from service.adapters.backends.sagemaker.names import pipeline_name
from service.domain.errors import Retry
from service.domain.selection import Source

_MOST_STEPS_BACK = 50


class Sources:
    """Asks AWS: an execution that ran some steps has those of its own source for the others."""

    def __init__(self, cloud: Cloud, index: Index, executions: Executions) -> None:
        self._cloud = cloud
        self._index = index
        self._executions = executions

    def find(self, repository: str, pipeline: str, wanted: Mapping[str, Mapping[str, str]]) -> Sequence[Source]:
        """As the port says. Those that made something of what is wanted are tried, no others."""
        makers = self._makers(wanted)
        of_this = f":pipeline/{pipeline_name(repository, pipeline)}/execution/"
        tried = [arn for arn in dict.fromkeys(reversed(list(makers.values()))) if of_this in arn]
        found = [one for arn in tried if (one := self._source(arn, makers)) is not None]
        return sorted(found, key=lambda one: -len(one.succeeded))

    def _makers(self, wanted: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
        """Step → the execution that made all of its outputs."""
        known = self._index.natives([digest for outputs in wanted.values() for digest in outputs.values()])
        found = {}
        for step, outputs in wanted.items():
            made = {
                known[digest].execution for digest in outputs.values() if digest in known and known[digest].step == step
            }
            if len(made) == 1 and all(digest in known for digest in outputs.values()):
                found[step] = made.pop()
        return found

    def _source(self, arn: str, makers: Mapping[str, str]) -> Source | None:
        try:
            status = self._executions.look(arn).status
            has = frozenset(step for step, maker in makers.items() if self._maker(arn, step) == maker)
        except Retry as problem:
            if isinstance(problem.__cause__, ClientError) and is_absent(problem.__cause__):
                return None  # the pipeline was removed, and its executions with it
            raise
        return Source(arn, status, has)

    def _maker(self, arn: str, step: str) -> str:
        """The execution whose result an execution has for a step; ``""`` if it has none."""
        for _ in range(_MOST_STEPS_BACK):
            row = self._executions.look(arn).steps.get(step)
            reused = (row or {}).get("SelectiveExecutionResult", {}).get("SourcePipelineExecutionArn", "")
            if row is not None and not reused:
                return arn if row["StepStatus"] == "Succeeded" else ""
            arn = reused or self._source_of(arn, step)
            if not arn:
                return ""
        return ""

    def _source_of(self, arn: str, step: str) -> str:
        with calling("looking at a pipeline execution"):
            found = self._cloud.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        config = found.get("SelectiveExecutionConfig", {})
        if step in [one["StepName"] for one in config.get("SelectedSteps", ())]:
            return ""
        return str(config.get("SourcePipelineExecutionArn", ""))
