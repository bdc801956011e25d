"""Owns what each request to SageMaker's pipelines means; refuses what AWS refuses, and HTTP, which is the door's."""

from __future__ import annotations

import json
import re
import secrets
import string
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.emulators.sagemaker.definition import Definition, Invalid
from tests.emulators.sagemaker.engine import ENDED, Engine, Run, arn, now
from tests.emulators.sagemaker.jobs import Cloud

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}")
_ALIAS = re.compile(r"(?!\d+$)[A-Za-z0-9._-]{1,128}")
MOST_SELECTED = 50
Request = Mapping[str, Any]


class Refusal(Exception):
    """An error that AWS answers: its code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Version:
    """One version of a pipeline."""

    number: int
    definition: Definition
    role: str
    created: datetime = field(default_factory=now)
    aliases: list[str] = field(default_factory=list)


@dataclass
class Pipeline:
    """A pipeline with its versions, oldest first."""

    name: str
    versions: list[Version]
    description: str = ""
    display_name: str = ""
    created: datetime = field(default_factory=now)
    last_run: datetime | None = None
    tags: list[dict[str, str]] = field(default_factory=list)


class Operations:
    """The operations that the door hands over, by their names in the API."""

    def __init__(self, cloud: Cloud, engine: Engine) -> None:
        self._cloud = cloud
        self._engine = engine
        self._lock = threading.RLock()
        self._pipelines: dict[str, Pipeline] = {}
        self._runs: dict[str, Run] = {}
        self._tokens: dict[tuple[str, str], tuple[Any, dict[str, Any]]] = {}

    # pipelines --------------------------------------------------------------------------------------------------------

    def CreatePipeline(self, request: Request) -> dict[str, Any]:
        def create() -> dict[str, Any]:
            name = request["PipelineName"]
            if not _NAME.fullmatch(name):
                raise Refusal("ValidationException", f"PipelineName {name!r} does not match {_NAME.pattern}")
            if name in self._pipelines:
                raise Refusal("ValidationException", "Pipeline names must be unique within an AWS account and region. "
                              f"Pipeline with name ({name}) already exists.")  # fmt: skip
            version = Version(1, self._definition(request), request["RoleArn"], aliases=self._aliases(request))
            self._pipelines[name] = Pipeline(
                name, [version], request.get("PipelineDescription", ""), request.get("PipelineDisplayName", ""),
                tags=list(request.get("Tags", [])),
            )  # fmt: skip
            return {"PipelineArn": arn("pipeline", name)}

        return self._once("CreatePipeline", request, create)

    def UpdatePipeline(self, request: Request) -> dict[str, Any]:
        with self._lock:
            pipeline = self._pipeline(request["PipelineName"])
            newest = pipeline.versions[-1]
            changed = "PipelineDefinition" in request or "PipelineDefinitionS3Location" in request
            definition = self._definition(request) if changed else newest.definition
            number = newest.number + 1
            role = request.get("RoleArn", newest.role)
            pipeline.versions.append(Version(number, definition, role, aliases=self._aliases(request)))
            pipeline.description = request.get("PipelineDescription", pipeline.description)
            return {"PipelineArn": arn("pipeline", pipeline.name), "PipelineVersionId": number}

    def DescribePipeline(self, request: Request) -> dict[str, Any]:
        with self._lock:
            pipeline = self._pipeline(request["PipelineName"])
            version = self._version(pipeline, request)
            answer = {
                "PipelineArn": arn("pipeline", pipeline.name), "PipelineName": pipeline.name,
                "PipelineDefinition": version.definition.text, "PipelineDescription": pipeline.description,
                "RoleArn": version.role, "PipelineStatus": "Active", "CreationTime": pipeline.created,
                "LastModifiedTime": version.created, "PipelineVersionAliases": version.aliases,
            }  # fmt: skip
            return answer | ({"LastRunTime": pipeline.last_run} if pipeline.last_run else {})

    def DeletePipeline(self, request: Request) -> dict[str, Any]:
        with self._lock:
            self._pipeline(request["PipelineName"])
            del self._pipelines[request["PipelineName"]]
            return {"PipelineArn": arn("pipeline", request["PipelineName"])}

    def ListPipelines(self, request: Request) -> dict[str, Any]:
        with self._lock:
            rows = [
                {"PipelineArn": arn("pipeline", one.name), "PipelineName": one.name, "CreationTime": one.created,
                 "LastModifiedTime": one.versions[-1].created}
                for one in self._pipelines.values() if one.name.startswith(request.get("PipelineNamePrefix", ""))
            ]  # fmt: skip
        return _page(request, rows, "PipelineSummaries", "CreationTime")

    def ListPipelineVersions(self, request: Request) -> dict[str, Any]:
        with self._lock:
            pipeline = self._pipeline(request["PipelineName"])
            rows = [{"PipelineArn": arn("pipeline", pipeline.name), "PipelineVersionId": one.number,
                     "CreationTime": one.created} for one in pipeline.versions]  # fmt: skip
        return _page(request, rows, "PipelineVersionSummaries", "PipelineVersionId")

    def AddTags(self, request: Request) -> dict[str, Any]:
        name = request["ResourceArn"].rpartition("/")[2]
        if ":pipeline/" not in request["ResourceArn"] or name not in self._pipelines:
            raise Refusal("ValidationException", f"{request['ResourceArn']} takes no tags here")
        self._pipelines[name].tags += request["Tags"]
        return {"Tags": self._pipelines[name].tags}

    def ListTags(self, request: Request) -> dict[str, Any]:
        return {"Tags": self._pipeline(request["ResourceArn"].rpartition("/")[2]).tags}

    # executions -------------------------------------------------------------------------------------------------------

    def StartPipelineExecution(self, request: Request) -> dict[str, Any]:
        def start() -> dict[str, Any]:
            pipeline = self._pipeline(request["PipelineName"])
            version = self._version(pipeline, request)
            given = {one["Name"]: one["Value"] for one in request.get("PipelineParameters", [])}
            selective = request.get("SelectiveExecutionConfig")
            selected, source = self._selection(pipeline, version.definition, selective) if selective else (None, None)
            id = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(12))
            run = Run(
                arn=f"{arn('pipeline', pipeline.name)}/execution/{id}", pipeline=pipeline.name, version=version.number,
                definition=version.definition, parameters=version.definition.bound(given), request=request,
                selected=selected, source=source,
                display_name=request.get("PipelineExecutionDisplayName", f"execution-{int(now().timestamp() * 1000)}"),
                description=request.get("PipelineExecutionDescription", ""),
            )  # fmt: skip
            self._runs[run.arn] = run
            pipeline.last_run = run.created
            self._engine.start(run)
            return {"PipelineExecutionArn": run.arn}

        return self._once("StartPipelineExecution", request, start)

    def DescribePipelineExecution(self, request: Request) -> dict[str, Any]:
        with self._lock:
            run = self._run(request)
            answer = {
                "PipelineArn": arn("pipeline", run.pipeline), "PipelineExecutionArn": run.arn,
                "PipelineExecutionDisplayName": run.display_name, "PipelineExecutionStatus": run.status,
                "PipelineExecutionDescription": run.description, "CreationTime": run.created,
                "LastModifiedTime": run.changed, "PipelineVersionId": run.version,
            }  # fmt: skip
            if run.failure:
                answer["FailureReason"] = run.failure
            if "SelectiveExecutionConfig" in run.request:
                answer["SelectiveExecutionConfig"] = run.request["SelectiveExecutionConfig"]
            return answer

    def ListPipelineExecutions(self, request: Request) -> dict[str, Any]:
        with self._lock:
            self._pipeline(request["PipelineName"])
            rows = [
                {"PipelineExecutionArn": run.arn, "StartTime": run.created, "PipelineExecutionStatus": run.status,
                 "PipelineExecutionDescription": run.description, "PipelineExecutionDisplayName": run.display_name}
                for run in self._runs.values() if run.pipeline == request["PipelineName"]
            ]  # fmt: skip
        return _page(request, rows, "PipelineExecutionSummaries", "StartTime")

    def ListPipelineExecutionSteps(self, request: Request) -> dict[str, Any]:
        with self._lock:
            run = self._run(request)
            rows = []
            for state in run.steps.values():
                row = {"StepName": state.name, "StepStatus": state.status, "StartTime": state.started,
                       "Metadata": state.metadata, "AttemptCount": state.attempts}  # fmt: skip
                row |= {"EndTime": state.ended} if state.ended else {}
                row |= {"FailureReason": state.failure} if state.failure else {}
                row |= (
                    {"CacheHitResult": {"SourcePipelineExecutionArn": state.cached_from}} if state.cached_from else {}
                )
                rows.append(row)
            rows += self._reused(run)
        return _page(request, rows, "PipelineExecutionSteps", "StartTime")

    def _reused(self, run: Run) -> list[dict[str, Any]]:
        """What a selective execution has of its source: the steps that its own read."""
        reads = {name for step in run.selected or () for name in run.definition.upstream[step]} - (
            run.selected or set()
        )
        found = []
        for name in sorted(reads):
            state, source = self._engine.state_of(run, name), run.source
            if state is not None and source is not None:
                found.append({"StepName": name, "StepStatus": "Succeeded", "StartTime": run.created, "EndTime": run.created,
                              "Metadata": state.metadata,
                              "SelectiveExecutionResult": {"SourcePipelineExecutionArn": source.arn}})  # fmt: skip
        return found

    def DescribePipelineDefinitionForExecution(self, request: Request) -> dict[str, Any]:
        run = self._run(request)
        return {"PipelineDefinition": run.definition.text, "CreationTime": run.created}

    def ListPipelineParametersForExecution(self, request: Request) -> dict[str, Any]:
        return {"PipelineParameters": list(self._run(request).request.get("PipelineParameters", []))}

    def UpdatePipelineExecution(self, request: Request) -> dict[str, Any]:
        run = self._run(request)
        run.display_name = request.get("PipelineExecutionDisplayName", run.display_name)
        run.description = request.get("PipelineExecutionDescription", run.description)
        return {"PipelineExecutionArn": run.arn}

    def StopPipelineExecution(self, request: Request) -> dict[str, Any]:
        run = self._run(request)
        if run.status in ENDED:
            raise Refusal("ConflictException", f"Pipeline execution {run.arn} is {run.status} and cannot be stopped")
        self._engine.stop(run)
        return {"PipelineExecutionArn": run.arn}

    def RetryPipelineExecution(self, request: Request) -> dict[str, Any]:
        def retry() -> dict[str, Any]:
            run = self._run(request)
            if run.status not in ("Failed", "Stopped"):
                raise Refusal(
                    "ConflictException", f"Pipeline execution {run.arn} is {run.status} and cannot be retried"
                )
            self._engine.retry(run)
            return {"PipelineExecutionArn": run.arn}

        return self._once("RetryPipelineExecution", request, retry)

    # jobs -------------------------------------------------------------------------------------------------------------

    def DescribeProcessingJob(self, request: Request) -> dict[str, Any]:
        return self._job(request["ProcessingJobName"])

    def DescribeTrainingJob(self, request: Request) -> dict[str, Any]:
        found = self._job(request["TrainingJobName"])
        secondary = {"InProgress": "Training"}.get(found["TrainingJobStatus"], found["TrainingJobStatus"])
        return {"ModelArtifacts": {"S3ModelArtifacts": ""}, **found, "SecondaryStatus": secondary}

    def _job(self, name: str) -> dict[str, Any]:
        if name not in self._engine.described:
            raise Refusal("ValidationException", f"Could not find requested job with name: {name}")
        return dict(self._engine.described[name])

    # what several need ------------------------------------------------------------------------------------------------

    def _once(self, operation: str, request: Request, act: Any) -> dict[str, Any]:
        """The same token and arguments give the first answer again; the same token and others are a conflict."""
        key = (operation, request["ClientRequestToken"])
        with self._lock:
            known = self._tokens.get(key)
            said = json.dumps(request, sort_keys=True, default=str)
            if known is None:
                self._tokens[key] = known = (said, act())
            elif known[0] != said:
                raise Refusal("ConflictException", f"ClientRequestToken was used with other arguments of {operation}")
            return known[1]

    def _pipeline(self, name: str) -> Pipeline:
        plain = name.rpartition("/")[2] if name.startswith("arn:") else name
        if plain not in self._pipelines:
            raise Refusal("ResourceNotFound", f"Pipeline '{arn('pipeline', plain)}' does not exist.")
        return self._pipelines[plain]

    def _version(self, pipeline: Pipeline, request: Request) -> Version:
        for version in pipeline.versions:
            if (
                version.number == request.get("PipelineVersionId")
                or request.get("PipelineVersionAlias") in version.aliases
            ):
                return version
        if "PipelineVersionId" in request or "PipelineVersionAlias" in request:
            raise Refusal("ResourceNotFound", f"Pipeline {pipeline.name} has no such version")
        return pipeline.versions[-1]

    def _run(self, request: Request) -> Run:
        if request["PipelineExecutionArn"] not in self._runs:
            raise Refusal("ResourceNotFound", f"PipelineExecution {request['PipelineExecutionArn']} does not exist.")
        return self._runs[request["PipelineExecutionArn"]]

    def _definition(self, request: Request) -> Definition:
        if "PipelineDefinition" in request:
            return Definition(request["PipelineDefinition"])
        place = request["PipelineDefinitionS3Location"]
        found = self._cloud.client("s3").get_object(Bucket=place["Bucket"], Key=place["ObjectKey"])
        return Definition(found["Body"].read().decode())

    @staticmethod
    def _aliases(request: Request) -> list[str]:
        aliases = list(request.get("PipelineVersionAliases", []))
        if len(aliases) > 10 or not all(_ALIAS.fullmatch(one) for one in aliases):
            raise Refusal("ValidationException", f"PipelineVersionAliases {aliases} are not valid")
        return aliases

    def _selection(
        self, pipeline: Pipeline, definition: Definition, config: Mapping[str, Any]
    ) -> tuple[frozenset[str], Run | None]:
        names = frozenset(one["StepName"] for one in config["SelectedSteps"])
        if unknown := sorted(names - definition.steps.keys()):
            raise Invalid(f"Selected steps {unknown} do not exist in the pipeline")
        if len(names) > MOST_SELECTED:
            raise Invalid(f"At most {MOST_SELECTED} steps may be selected")
        definition.refuse_gaps(names)
        source = self._source(pipeline, config.get("SourcePipelineExecutionArn"))
        for name in sorted({needed for step in names for needed in definition.upstream[step]} - names):
            state = self._engine.state_of(source, name) if source is not None else None
            if state is None or state.status != "Succeeded":
                raise Invalid(f"Step {name} has no successful result in the source execution")
        return names, source

    def _source(self, pipeline: Pipeline, source: str | None) -> Run | None:
        if source is None:
            return None
        run = self._runs.get(source)
        if run is None or run.pipeline != pipeline.name:
            raise Invalid(f"SourcePipelineExecutionArn {source} is not an execution of pipeline {pipeline.name}")
        if run.status not in ("Succeeded", "Failed"):
            raise Invalid(f"The source execution is {run.status}; it must be Succeeded or Failed")
        return run


def _page(request: Request, rows: Sequence[dict[str, Any]], name: str, key: str) -> dict[str, Any]:
    """Sorted, newest first unless asked otherwise; pages of at most ``MaxResults`` (100)."""
    numbered = sorted(enumerate(rows), key=lambda one: (one[1][key], one[0]))
    ordered = [row for _, row in (numbered if request.get("SortOrder") == "Ascending" else numbered[::-1])]
    for bound, keep in (("CreatedAfter", lambda at, edge: at > edge), ("CreatedBefore", lambda at, edge: at < edge)):
        if bound in request:
            ordered = [row for row in ordered if keep(row[key].timestamp(), float(request[bound]))]
    begin = int(request.get("NextToken", "0"))
    end = begin + min(int(request.get("MaxResults", 100)), 100)
    return {name: ordered[begin:end]} | ({"NextToken": str(end)} if end < len(ordered) else {})
