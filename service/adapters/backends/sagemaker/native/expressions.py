"""Owns what a definition's JSON says that can change a result, in one canonical form; refuses names of jobs, machines, roles and
places to write to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_GET = re.compile(r"Steps\.([A-Za-z0-9_-]+)(?:\.(.+))?")
_OUTPUT = re.compile(r"Outputs\[['\"]([^'\"]+)['\"]\]")
_WORD = re.compile(r"\w+")
DONE = "done"
"""The output that stands for the mere end of a step: what `DependsOn` waits for."""
MODEL = "model"
_MACHINES = "ProcessingResources ResourceConfig TransformResources StoppingCondition RetryStrategy InfraCheckConfig"
_RIGHTS = (
    "RoleArn ExecutionRoleArn NetworkConfig VpcConfig EnableNetworkIsolation EnableInterContainerTrafficEncryption"
)
_WATCHING = "DebugHookConfig DebugRuleConfigurations ProfilerConfig ProfilerRuleConfigurations RemoteDebugConfig"
_PLACES = "OutputDataConfig TransformOutput TensorBoardOutputConfig Tags ExperimentConfig SessionChainingConfig"
_NAMES = "ProcessingJobName TrainingJobName TransformJobName HyperParameterTuningJobName BaseJobName EnableManagedSpotTraining"
IGNORED = frozenset(" ".join((_MACHINES, _RIGHTS, _WATCHING, _PLACES, _NAMES)).split())
"""Keys that say how, where and under which name a job runs, and nothing of what it computes."""
_OPEN = frozenset({"HyperParameters", "StaticHyperParameters", "Environment"})
"""Their keys are the user's own words: none of them is one of ours."""


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Every (step, property path) that an expression reads."""
    if isinstance(value, dict):
        found = _GET.fullmatch(value["Get"]) if isinstance(value.get("Get"), str) else None
        if found:
            yield found.group(1), found.group(2) or ""
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def output_named(path: str, property_files: Mapping[str, str]) -> str:
    """The name of the output that a property path reads. ``property_files``: a property file → the output it lies in."""
    found = _OUTPUT.search(path)
    if found:
        return found.group(1)
    if path.startswith("ModelArtifacts"):
        return MODEL
    if path.startswith("PropertyFiles."):
        return property_files.get(path.removeprefix("PropertyFiles."), DONE)
    word = _WORD.search(path)
    return word.group() if word else DONE


def parameters_of(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The defaults of the pipeline's own parameters, which an execution that Refit starts has."""
    return {one["Name"]: one["DefaultValue"] for one in definition.get("Parameters", ()) if "DefaultValue" in one}


def meant(value: Any, parameters: Mapping[str, Any], said: Callable[[str], str], *, everything: bool = False) -> Any:
    """A value as it counts: parameters by their defaults, strings as ``said`` has them, keys that say only how, where and under
    which name left out, unless ``everything`` below is the user's own."""
    if isinstance(value, dict):
        get = value.get("Get")
        if isinstance(get, str) and get.removeprefix("Parameters.") in parameters and get.startswith("Parameters."):
            return meant(parameters[get.removeprefix("Parameters.")], parameters, said, everything=everything)
        return {
            key: meant(one, parameters, said, everything=everything or key in _OPEN)
            for key, one in value.items()
            if everything or key not in IGNORED
        }
    if isinstance(value, list):
        return [meant(one, parameters, said, everything=everything) for one in value]
    return said(value) if isinstance(value, str) else value


def plain(text: Any) -> Any:
    """SDKs write hyperparameters as JSON text."""
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return text
