"""Owns a pipeline definition's JSON: whether AWS would take it, its graph, and what its expressions mean in an execution;
refuses to run anything."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

MOST_BYTES = 1024 * 1024
TYPES = frozenset({"Processing", "Training", "Condition", "Fail", "RegisterModel", "Model"})
_STEP_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_GET = re.compile(r"Steps\.([A-Za-z0-9\-_]+)\.(.+)")
_PART = re.compile(r"([A-Za-z0-9_-]+)|\['([^']*)'\]|\[(\d+)\]|\.")
_PARAMETERS: dict[str, tuple[type, ...]] = {
    "String": (str,),
    "Integer": (int,),
    "Float": (float, int),
    "Boolean": (bool,),
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "Equals": lambda a, b: bool(a == b),
    "GreaterThan": lambda a, b: float(a) > float(b),
    "GreaterThanOrEqualTo": lambda a, b: float(a) >= float(b),
    "LessThan": lambda a, b: float(a) < float(b),
    "LessThanOrEqualTo": lambda a, b: float(a) <= float(b),
}


class Invalid(Exception):
    """AWS's ``ValidationException``: the text says why."""


class Definition:
    """A valid definition. ``steps`` are the top-level ones and, flattened, those inside conditions."""

    def __init__(self, text: str) -> None:
        if len(text.encode()) > MOST_BYTES:
            raise Invalid(f"Pipeline definition exceeds {MOST_BYTES} bytes")
        try:
            value = json.loads(text)
        except ValueError as error:
            raise Invalid(f"Unable to parse pipeline definition. {error}") from error
        if not isinstance(value, dict) or value.get("Version") != "2020-12-01":
            raise Invalid("Unable to parse pipeline definition. Version must be 2020-12-01")
        if not value.get("Steps"):
            raise Invalid("Unable to parse pipeline definition. A pipeline must have at least one step")
        self.text = text
        self.parameters: dict[str, dict[str, Any]] = {one["Name"]: one for one in value.get("Parameters", [])}
        self.steps: dict[str, dict[str, Any]] = {}
        self.inside: dict[str, tuple[str, bool]] = {}
        self._flatten(value["Steps"], None, False)
        self.upstream = {name: self._upstream(name) for name in self.steps}
        self._refuse_cycles()

    def _flatten(self, steps: list[dict[str, Any]], condition: str | None, branch: bool) -> None:
        for step in steps:
            name, kind = step.get("Name", ""), step.get("Type", "")
            if not _STEP_NAME.fullmatch(name):
                raise Invalid(f"Step name {name!r} does not match [A-Za-z0-9\\-_]{{1,64}}")
            if name in self.steps:
                raise Invalid(f"Step names must be unique. {name} occurs more than once")
            if kind not in TYPES:
                raise Invalid(f"Unknown step type {kind!r} of step {name}")
            self._refuse_retries(step)
            self.steps[name] = step
            if condition is not None:
                self.inside[name] = (condition, branch)
            if kind == "Condition":
                self._flatten(step["Arguments"]["IfSteps"], name, True)
                self._flatten(step["Arguments"]["ElseSteps"], name, False)

    @staticmethod
    def _refuse_retries(step: Mapping[str, Any]) -> None:
        for policy in step.get("RetryPolicies", []):
            if ("MaxAttempts" in policy) == ("ExpireAfterMin" in policy):
                raise Invalid(f"RetryPolicy of step {step['Name']}: give either MaxAttempts or ExpireAfterMin")

    def _upstream(self, name: str) -> frozenset[str]:
        """The steps that must end first: those named, those whose properties are read, the condition around it."""
        step = self.steps[name]
        arguments = step.get("Arguments", {})
        if step["Type"] == "Condition":  # what is inside its branches has an upstream of its own
            arguments = arguments["Conditions"]
        found = {*step.get("DependsOn", []), *(one for one, _ in references(arguments))}
        if name in self.inside:
            found.add(self.inside[name][0])
        if unknown := sorted(found - self.steps.keys()):
            raise Invalid(f"Step {name} refers to step {unknown[0]}, which is not in the pipeline")
        return frozenset(found)

    def _refuse_cycles(self) -> None:
        waiting = dict(self.upstream)
        while waiting:
            free = [name for name, needs in waiting.items() if not needs & waiting.keys()]
            if not free:
                raise Invalid(f"Pipeline definition has a cycle: {', '.join(sorted(waiting))}")
            for name in free:
                del waiting[name]

    def bound(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Every parameter's value; AWS passes all of them as strings."""
        if unknown := sorted(given.keys() - self.parameters.keys()):
            raise Invalid(f"Pipeline parameters {unknown} are not defined in the pipeline definition")
        values: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            if name not in given and "DefaultValue" not in parameter:
                raise Invalid(f"Pipeline parameter {name} has no value and no default")
            values[name] = _typed(name, parameter, given[name]) if name in given else parameter["DefaultValue"]
        return values

    def descendants(self, names: frozenset[str]) -> frozenset[str]:
        reached = set(names)
        while more := {name for name, needs in self.upstream.items() if needs & reached} - reached:
            reached |= more
        return frozenset(reached)

    def refuse_gaps(self, selected: frozenset[str]) -> None:
        """Selective execution: every step on a path between two selected steps must be selected too."""
        for name in self.steps.keys() - selected:
            below = self.descendants(frozenset({name})) - {name}
            if below & selected and self._ancestors(name) & selected:
                raise Invalid(f"SelectedSteps are not connected: step {name} lies between selected steps")

    def _ancestors(self, name: str) -> frozenset[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for one in self.upstream[waiting.pop()] - found:
                found.add(one)
                waiting.append(one)
        return frozenset(found)


def _typed(name: str, parameter: Mapping[str, Any], text: str) -> Any:
    kind = parameter["Type"]
    try:
        value: Any = (
            {"Integer": int, "Float": float, "String": str}[kind](text) if kind != "Boolean" else _boolean(text)
        )
    except (ValueError, KeyError) as error:
        raise Invalid(f"Pipeline parameter {name} must be of type {kind}; it is {text!r}") from error
    if parameter.get("EnumValues") and value not in parameter["EnumValues"]:
        raise Invalid(f"Pipeline parameter {name} must be one of {parameter['EnumValues']}; it is {text!r}")
    return value


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def references(value: Any) -> Iterator[tuple[str, str]]:
    """Every (step, property path) that an expression reads."""
    if isinstance(value, dict):
        found = _GET.fullmatch(value["Get"]) if isinstance(value.get("Get"), str) else None
        if found:
            yield found.group(1), found.group(2)
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


class Scope:
    """What expressions see in one execution. ``properties`` are the outputs of the steps that ended, by name;
    ``read_file`` is (step, property file name) → its JSON."""

    def __init__(
        self,
        parameters: Mapping[str, Any],
        execution: Mapping[str, str],
        properties: Mapping[str, Mapping[str, Any]],
        read_file: Callable[[str, str], Any],
    ) -> None:
        self._parameters = parameters
        self._execution = execution
        self._properties = properties
        self._read_file = read_file

    def resolved(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.resolved(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "Get" in value:
            return self._get(value["Get"])
        if "Std:Join" in value:
            return str(value["Std:Join"]["On"]).join(str(self.resolved(one)) for one in value["Std:Join"]["Values"])
        if "Std:JsonGet" in value:
            return self._json_get(value["Std:JsonGet"])
        return {name: self.resolved(one) for name, one in value.items()}

    def holds(self, condition: Mapping[str, Any]) -> bool:
        match condition["Type"]:
            case "And":
                return all(self.holds(one) for one in condition["Conditions"])
            case "Or":
                return any(self.holds(one) for one in condition["Conditions"])
            case "Not":
                return not self.holds(condition["Expression"])
            case "In":
                return self.resolved(condition["QueryValue"]) in self.resolved(condition["Values"])
            case kind:
                left = self.resolved(condition["LeftValue"])
                return _COMPARE[kind](left, self.resolved(condition["RightValue"]))

    def _get(self, path: str) -> Any:
        if path.startswith("Parameters."):
            return self._parameters[path.removeprefix("Parameters.")]
        if path.startswith("Execution."):
            return self._execution[path.removeprefix("Execution.")]
        found = _GET.fullmatch(path)
        if found is None or found.group(1) not in self._properties:
            raise Invalid(f"{path} cannot be read: the step has not run")
        return _walk(self._properties[found.group(1)], found.group(2))

    def _json_get(self, wanted: Mapping[str, Any]) -> Any:
        path = wanted["PropertyFile"]["Get"] if isinstance(wanted["PropertyFile"], dict) else wanted["PropertyFile"]
        found = _GET.fullmatch(path)
        if found is None or not found.group(2).startswith("PropertyFiles."):
            raise Invalid(f"{path} names no property file")
        return _walk(self._read_file(found.group(1), found.group(2).removeprefix("PropertyFiles.")), wanted["Path"])


def _walk(value: Any, path: str) -> Any:
    """``ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri``: a list is looked into by its entries' names."""
    for part in _PART.finditer(path):
        word, key, number = part.groups()
        if word is None and key is None and number is None:
            continue
        if isinstance(value, list):
            value = value[int(number)] if number is not None else _named(value, key or word, path)
        elif isinstance(value, dict) and (key or word) in value:
            value = value[key or word]
        else:
            raise Invalid(f"there is no {path}")
    return value


def _named(rows: list[dict[str, Any]], name: str, path: str) -> Any:
    for row in rows:
        if name in (row.get("OutputName"), row.get("ChannelName"), row.get("InputName")):
            return row
    raise Invalid(f"there is no {name} in {path}")
