"""Owns what the operator declares of a SageMaker backend; refuses anything from a repository, and AWS."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_ENDPOINT = re.compile(r"https?://[\w.-]+(:\d+)?/?")
_Instance = Annotated[str, Field(pattern=r"^ml\.[a-z0-9-]+\.[a-z0-9]+$")]


class Declared(BaseModel):
    """One entry of the file that ``REFIT_BACKENDS`` names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["sagemaker"]
    region: str = Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", description="where everything runs")
    role: str = Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+$", description="the jobs' own role")
    bucket: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="bundles, outputs and their index")
    prefix: str = Field("refit", pattern=r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", description="below which all keys lie")
    instance: _Instance = Field("ml.m5.large", description="the machine of a step that asks for none")
    instances: tuple[_Instance, ...] = Field((), description="what else `with: {instance: …}` may ask for")
    image: str | None = Field(None, min_length=1, description="the steps' image; default: AWS's scikit-learn")
    volume: int = Field(30, ge=1, le=16384, description="GB of each job's disk")
    machines: int = Field(1, ge=1, le=1_000, description="of one job, in a native definition")
    images: tuple[str, ...] = Field((), description="patterns of a native definition's images; none: any")
    networks: tuple[str, ...] = Field((), description="subnets and security groups that a native definition may name")
    model_groups: tuple[str, ...] = Field((), description="patterns of groups it may register in; none: any")
    step_types: tuple[str, ...] = Field((), description="of native steps besides the usual ones, such as Lambda")
    slots: int = Field(20, ge=1, le=10_000, description="steps at once")
    poll_seconds: float = Field(2.0, ge=0.05, le=60.0, description="how long a look at a young execution is good for")
    events_queue: str | None = Field(
        None,
        pattern=r"^https?://[\w.-]+(:\d+)?/\d{12}/[\w-]{1,80}$",
        description="URL of an SQS queue of EventBridge's events",
    )
    endpoint_url: str | None = Field(None, description="another place than AWS, as an emulator")
    repositories: tuple[str, ...] = Field(
        (), description="patterns such as acme/*; none: every repository of the server"
    )

    @field_validator("endpoint_url")
    @classmethod
    def _is_a_place(cls, value: str | None) -> str | None:
        if value is not None and not _ENDPOINT.fullmatch(value):
            raise ValueError("is not a URL such as http://127.0.0.1:5000, and may hold no password")
        return value

    def serves(self, repository: str) -> bool:
        return not self.repositories or any(fnmatchcase(repository, one) for one in self.repositories)

    def may_run_on(self, instance: str) -> bool:
        return instance == self.instance or instance in self.instances
