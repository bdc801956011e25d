"""Owns pipelines and the start of their executions: a definition becomes a pinned version, a submission one execution, however
often it is asked for; refuses to look at what runs."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from service.adapters.backends.cloud.names import digest
from service.adapters.backends.sagemaker.aws import Cloud, calling, code_of
from service.domain.errors import Retry

_PAGES = 20
_UNKNOWN = frozenset({"ResourceNotFound", "ResourceNotFoundException", "ValidationException"})


@dataclass(frozen=True)
class Start:
    """One execution to be had. ``display`` names its submission for ever, ``token`` makes its start idempotent. ``steps`` alone
    run (none: all), with what the execution ``source`` made of the others; at most ``parallel`` of them at once."""

    pipeline: str
    definition: str
    token: str
    display: str
    description: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    steps: tuple[str, ...] = ()
    source: str = ""
    parallel: int | None = None


class Pipelines:
    """``folder`` holds a lock for each pipeline, so that two workers of a machine do not make the same version at once."""

    def __init__(self, cloud: Cloud, folder: Path) -> None:
        self._cloud = cloud
        self._folder = folder

    def start(self, wanted: Start) -> str:
        """The ARN of the submission's execution: started now, or by an earlier call."""
        with calling(f"starting {wanted.pipeline}", starts=True):
            with self._alone(wanted.pipeline):
                alias = self._pinned(wanted)
            try:
                answer = self._cloud.sagemaker.start_pipeline_execution(
                    PipelineName=wanted.pipeline,
                    PipelineVersionAlias=alias,
                    PipelineExecutionDisplayName=wanted.display,
                    PipelineExecutionDescription=wanted.description,
                    PipelineParameters=[{"Name": name, "Value": value} for name, value in wanted.parameters.items()],
                    ClientRequestToken=wanted.token,
                    **_selective(wanted),
                )
            except ClientError as error:
                if code_of(error) != "ConflictException":
                    raise
                # The token was used for another version: the submission was started before a crash, by an older Refit.
                return self._found(wanted)
            return str(answer["PipelineExecutionArn"])

    def _found(self, wanted: Start) -> str:
        pages = self._cloud.sagemaker.get_paginator("list_pipeline_executions").paginate(
            PipelineName=wanted.pipeline, SortBy="CreationTime", SortOrder="Descending"
        )
        for _, page in zip(range(_PAGES), pages, strict=False):
            for one in page["PipelineExecutionSummaries"]:
                if one.get("PipelineExecutionDisplayName") == wanted.display:
                    return str(one["PipelineExecutionArn"])
        raise Retry(f"starting {wanted.pipeline}: its token is taken, and {wanted.display} is not listed yet")

    def _pinned(self, wanted: Start) -> str:
        """The alias of the version that has this definition, and its role; made if there is none."""
        alias = f"refit-{digest(wanted.definition, self._cloud.declared.role)[:24]}"
        if self._has(wanted.pipeline, alias):
            return alias
        version = {
            "PipelineName": wanted.pipeline,
            "PipelineDefinition": wanted.definition,
            "RoleArn": self._cloud.declared.role,
            "PipelineVersionAliases": [alias],
        }
        try:
            self._cloud.sagemaker.update_pipeline(**version)
            return alias
        except ClientError as error:
            if code_of(error) not in _UNKNOWN:
                raise
            problem = error
        if self._has(wanted.pipeline, alias):  # somebody on another machine made it meanwhile
            return alias
        if code_of(problem) == "ValidationException" and self._has(wanted.pipeline, None):
            raise problem  # the pipeline is there: it is the definition that AWS does not take
        self._cloud.sagemaker.create_pipeline(
            **version,
            ClientRequestToken=digest("create", wanted.pipeline, wanted.definition),
            Tags=[{"Key": name, "Value": value} for name, value in wanted.tags.items()],
        )
        return alias

    def _has(self, pipeline: str, alias: str | None) -> bool:
        more = {} if alias is None else {"PipelineVersionAlias": alias}
        try:
            self._cloud.sagemaker.describe_pipeline(PipelineName=pipeline, **more)
        except ClientError as error:
            if code_of(error) in _UNKNOWN:
                return False
            raise
        return True

    @contextmanager
    def _alone(self, pipeline: str) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"{pipeline}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _selective(wanted: Start) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if wanted.parallel is not None:
        found["ParallelismConfiguration"] = {"MaxParallelExecutionSteps": wanted.parallel}
    if wanted.steps:
        source = {"SourcePipelineExecutionArn": wanted.source} if wanted.source else {}
        found["SelectiveExecutionConfig"] = {"SelectedSteps": [{"StepName": one} for one in wanted.steps], **source}
    return found
