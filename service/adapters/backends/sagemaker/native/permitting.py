"""Owns what a native definition may ask of the operator's account; refuses everything else, with a sentence that says what.

Its words come from a pull request. What a job's own code does is bounded by the jobs' role alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from service.adapters.backends.sagemaker.declared import Declared
from service.adapters.backends.sagemaker.native.expressions import meant, parameters_of, references
from service.adapters.backends.sagemaker.native.steps import UNDERSTOOD, Step, steps_of
from service.domain.errors import Refused
from service.domain.names import shown

_USERS_OWN = frozenset({"HyperParameters", "StaticHyperParameters", "Environment"})
_ROLES = frozenset({"RoleArn", "ExecutionRoleArn"})
_IMAGES = frozenset({"ImageUri", "TrainingImage", "Image"})
_WRITTEN = frozenset({"S3Output", "CheckpointConfig"})
"""Whose ``S3Uri`` is written to; everywhere else it is read."""


def refuse_what_is_not_permitted(definition: Mapping[str, Any], declared: Declared, path: str) -> None:
    """``Refused`` names the step, what it asks for and what there is."""
    parameters = parameters_of(definition)
    for step in steps_of(definition, path):
        asked = meant(step.arguments, parameters, str, everything=True)
        for problem in (*_type(step, declared), *_walked(asked, (), declared)):
            raise Refused(f"submitting {path}: step {step.name} {problem}")


def _type(step: Step, declared: Declared) -> Iterator[str]:
    if step.kind not in UNDERSTOOD and step.kind not in declared.step_types:
        yield f"is of type {shown(step.kind)}, which this backend does not offer; its operator may name it in step_types"


def _walked(value: Any, way: tuple[str, ...], declared: Declared) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _judged(key, one, way, declared)
            if key not in _USERS_OWN:
                yield from _walked(one, (*way, key), declared)
    elif isinstance(value, list):
        for one in value:
            yield from _walked(one, way, declared)


def _judged(key: str, value: Any, way: tuple[str, ...], declared: Declared) -> Iterator[str]:
    """What is wrong with one entry. A value that is worked out while the pipeline runs cannot be judged beforehand."""
    match key:
        case "InstanceType":
            if not isinstance(value, str) or not declared.may_run_on(value):
                offered = ", ".join(sorted({declared.instance, *declared.instances}))
                yield f"wants the instance {_said(value)}, which this backend does not offer; it has {offered}"
        case "InstanceCount":
            if not _at_most(value, declared.machines):
                yield f"wants {_said(value)} machines at once; this backend offers {declared.machines}"
        case "VolumeSizeInGB":
            if not _at_most(value, declared.volume):
                yield f"wants a disk of {_said(value)} GB; this backend offers {declared.volume}"
        case "KeepAlivePeriodInSeconds":
            if value:
                yield "keeps its machines after its end (KeepAlivePeriodInSeconds), which this backend does not offer"
        case "Subnets" | "SecurityGroupIds":
            for one in value if isinstance(value, list) else [value]:
                if one not in declared.networks:
                    yield f"wants the network {_said(one)}; this backend offers {', '.join(declared.networks) or 'none'}"
        case "ModelPackageGroupName":
            if declared.model_groups and not _matches(value, declared.model_groups):
                yield f"registers in {_said(value)}; this backend offers {', '.join(declared.model_groups)}"
        case _ if key in _ROLES:
            if value != declared.role:
                yield f"wants the role {_said(value)}; this backend gives {declared.role} only"
        case _ if key in _IMAGES:
            if declared.images and not _matches(value, declared.images):
                yield f"wants the image {_said(value)}; this backend offers {', '.join(declared.images)}"
        case "S3OutputPath" | "S3Uri":
            if key == "S3OutputPath" or (way and way[-1] in _WRITTEN):
                yield from _place(value, declared)


def _place(value: Any, declared: Declared) -> Iterator[str]:
    """Only into the operator's bucket, and not where Refit keeps what it must be able to believe."""
    begins = _beginning(value)
    bucket, own = f"s3://{declared.bucket}", f"s3://{declared.bucket}/{declared.prefix}"
    if begins != bucket and not begins.startswith(f"{bucket}/"):
        if not (begins == "" and any(references(value))):  # where another step writes, which is judged there
            yield f"writes to {_said(value)}; this backend offers {bucket} only"
    elif begins == own or begins.startswith(f"{own}/"):
        yield f"writes to {_said(value)}, below which Refit keeps its own; another prefix of {bucket} will do"


def _beginning(value: Any) -> str:
    """The part of a text that is known before anything runs."""
    if isinstance(value, str):
        return value
    join = value.get("Std:Join") if isinstance(value, dict) else None
    if not isinstance(join, dict) or not isinstance(join.get("On"), str) or not isinstance(join.get("Values"), list):
        return ""
    text = ""
    for one in join["Values"]:
        if not isinstance(one, str):
            break
        text += one + join["On"]
    else:
        text = text.removesuffix(join["On"]) if join["On"] else text
    return text


def _at_most(value: Any, bound: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value <= bound


def _matches(value: Any, patterns: tuple[str, ...]) -> bool:
    return isinstance(value, str) and any(fnmatchcase(value, one) for one in patterns)


def _said(value: Any) -> str:
    return shown(str(value))[:200] if isinstance(value, str | int) else "<worked out while the pipeline runs>"
