"""Owns what a pipeline says: its nodes, their bindings, and what Azure refuses about them before anything runs; refuses to
run one.

Of types, only what can never work is refused: a file for a folder, a literal for data. Azure's own table of implicit
conversions is not public.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.messages import WORKSPACE, user_error
from tests.emulators.azureml.resources import COMPUTES

Value = dict[str, Any]
"""``{"type": "literal", "value": text}`` or ``{"type": a data type, "uri": where, "mode": how}``."""
_PARENT = re.compile(r"\$\{\{\s*parent\.(?:inputs\.(?P<input>[\w.-]+)|jobs\.(?P<job>[\w-]+)\.outputs\.(?P<port>[\w-]+)"
                     r"|outputs\.(?P<output>[\w.-]+))\s*\}\}")  # fmt: skip
_INSIDE = re.compile(r"\$\{\{\s*(inputs|outputs|search_space)\.([\w.-]+)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_NODE = re.compile(r"[a-z_][a-z0-9_]*")
_DATA = ("uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model", "path")
_SAME = {"mltable": "uri_folder", "mlflow_model": "uri_folder", "triton_model": "uri_folder", "path": "any",
         "custom_model": "any"}  # fmt: skip
_MODES = {"ro_mount": "readonlymount", "rw_mount": "readwritemount"}


@dataclass(frozen=True)
class Node:
    """One step. ``spec`` is its component's; ``inputs`` are values in which bindings to the parent still stand."""

    name: str
    kind: str
    spec: Mapping[str, Any]
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Mapping[str, Any]]
    compute: str
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    display_name: str = ""
    sweep: Mapping[str, Any] = field(default_factory=dict)

    @property
    def upstream(self) -> frozenset[str]:
        found = (match for one in self.inputs.values() for match in _PARENT.finditer(_text(one)))
        return frozenset(match["job"] for match in found if match["job"])

    def bound_outputs(self) -> dict[str, str]:
        """Own port → the parent's output that it is."""
        found = ((port, _PARENT.fullmatch(str(one.get("value", "")))) for port, one in self.outputs.items())
        return {port: match["output"] for port, match in found if match and match["output"]}


@dataclass(frozen=True)
class Pipeline:
    """What a pipeline job, or a component that is one, asks for."""

    nodes: Mapping[str, Node]
    inputs: Mapping[str, Value]
    outputs: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]


def pipeline(properties: Mapping[str, Any], assets: Assets, default: str = "") -> Pipeline:
    """Of a job's properties, or a component's spec; ``default`` is the compute that lies around it. 400 says why not."""
    settings = dict(properties.get("settings") or {})
    inputs = {name: value_of(one) for name, one in (properties.get("inputs") or {}).items()}
    around = _compute(settings.get("default_compute") or properties.get("computeId") or default, "the pipeline")
    jobs = properties.get("jobs") or {}
    if not jobs:
        raise user_error("A pipeline job needs at least one job.")
    nodes = {name: _node(name, one, assets, around) for name, one in jobs.items()}
    made = Pipeline(nodes, inputs, properties.get("outputs") or {}, settings)
    for node in nodes.values():
        _check(node, made, assets)
    _refuse_cycles(nodes)
    return made


def value_of(given: Any) -> Value:
    """An input in any of the forms that jobs and components have, as one."""
    if not isinstance(given, dict):
        return {"type": "literal", "value": _literal(given)}
    kind = given.get("jobInputType") or given.get("job_input_type") or given.get("type") or "literal"
    mode = str(given.get("mode") or "")
    mode = _MODES.get(mode.lower(), mode).lower()
    if given.get("uri") or given.get("path"):
        return {"type": kind, "uri": given.get("uri") or given.get("path"), "mode": mode}
    return {"type": "literal", "value": _literal(given.get("value")), **({"mode": mode} if mode else {})}


def resolved(given: Value, inputs: Mapping[str, Value], outputs: Callable[[str, str], Value]) -> Value | None:
    """A value without bindings; ``None`` if it is bound to an input that is not given. ``outputs`` knows what jobs made."""
    text = _text(given)
    whole = _PARENT.fullmatch(text)
    if whole:
        found = inputs.get(whole["input"]) if whole["input"] else outputs(whole["job"], whole["port"])
        return {**found, **({"mode": given["mode"]} if given.get("mode") else {})} if found is not None else None

    def said(match: re.Match[str]) -> str:
        found = inputs.get(match["input"] or "")
        return match[0] if found is None else str(found.get("value", found.get("uri")))

    key = "uri" if "uri" in given else "value"
    return {**given, key: _PARENT.sub(said, text)}


def command_of(text: str, values: Mapping[str, str], outputs: Mapping[str, str]) -> str:
    """What the shell gets: an optional part ``$[[ ]]`` stays if all its inputs are there."""

    def known(match: re.Match[str]) -> str | None:
        return (outputs if match[1] == "outputs" else values).get(match[2])

    def part(match: re.Match[str]) -> str:
        return match[1] if all(known(one) is not None for one in _INSIDE.finditer(match[1])) else ""

    def said(match: re.Match[str]) -> str:
        found = known(match)
        return match[0] if found is None else found

    return _INSIDE.sub(said, _OPTIONAL.sub(part, text))


# reading ----------------------------------------------------------------------------------------------------------------


def _node(name: str, given: Mapping[str, Any], assets: Assets, around: str) -> Node:
    if not _NODE.fullmatch(name):
        raise user_error(f"The job name {name!r} is not valid: lower case letters, digits and underscores.")
    kind = str(given.get("type", "command"))
    trial = given.get("trial") if isinstance(given.get("trial"), dict) else {}
    id = given.get("componentId") or given.get("component") or (trial or {}).get("componentId") or given.get("trial")
    if kind not in ("command", "sweep", "pipeline"):
        raise user_error(f"jobs.{name}: jobs of type {kind} are not run here.")
    if not isinstance(id, str):
        raise user_error(f"jobs.{name}: the job has no component.")
    spec = assets.by_id("components", id)["properties"]["componentSpec"]
    expected = "command" if kind == "sweep" else kind
    if spec["type"] != expected:
        raise user_error(f"jobs.{name}: the component {id} is of type {spec['type']}, not {expected}.")
    compute = given.get("computeId") or given.get("compute") or around
    compute = _compute(compute, f"jobs.{name}")
    if not compute and kind != "pipeline":
        raise user_error(f"jobs.{name}: the job has no compute and the pipeline no default one.")
    if kind == "pipeline":
        pipeline(spec, assets, compute)
    return Node(
        name, kind, spec, {one: value_of(given_) for one, given_ in (given.get("inputs") or {}).items()},
        {port: one if isinstance(one, dict) else {"value": one} for port, one in (given.get("outputs") or {}).items()},
        compute, {**(spec.get("environment_variables") or {}), **(given.get("environment_variables") or {})},
        given.get("limits") or {}, str(given.get("display_name") or name),
        {key: given[key] for key in ("search_space", "sampling_algorithm", "objective", "limits") if key in given},
    )  # fmt: skip


def _compute(given: Any, where: str) -> str:
    """The name of a compute that exists, or nothing."""
    name = str(given or "").removeprefix("azureml:").rpartition("/")[2]
    if name and name not in (*COMPUTES, "serverless"):
        raise user_error(f"{where}: the compute {name} was not found in workspace {WORKSPACE}.")
    return name


# checking ---------------------------------------------------------------------------------------------------------------


def _check(node: Node, whole: Pipeline, assets: Assets) -> None:
    where, wanted = f"jobs.{node.name}", node.spec.get("inputs") or {}
    searched = (node.sweep.get("search_space") or {}) if node.kind == "sweep" else {}
    for name in node.inputs.keys() - _groups(wanted, node.inputs):
        raise user_error(f"{where}.inputs.{name}: the component has no input {name}.")
    for name, port in wanted.items():
        given = node.inputs.get(name)
        if given is None:
            if name not in searched and not port.get("optional") and port.get("default") is None and (
                port.get("type") != "group"):  # fmt: skip
                raise user_error(f"{where}.inputs.{name}: the required input {name} is not bound.")
            continue
        _check_binding(f"{where}.inputs.{name}", given, port, whole, assets)
    for port in node.outputs:
        if port not in (node.spec.get("outputs") or {}):
            raise user_error(f"{where}.outputs.{port}: the component has no output {port}.")
    for port, output in node.bound_outputs().items():
        if output not in whole.outputs:
            raise user_error(f"{where}.outputs.{port}: the pipeline has no output {output}.")
    for match in _INSIDE.finditer(_OPTIONAL.sub("", str(node.spec.get("command", "")))):
        if match[1] == "inputs" and match[2] not in wanted:
            raise user_error(f"{where}: the command names the input {match[2]}, which the component has not.")
        if match[1] == "outputs" and match[2] not in (node.spec.get("outputs") or {}):
            raise user_error(f"{where}: the command names the output {match[2]}, which the component has not.")


def _groups(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> set[str]:
    """The names that are fine: ports, and members of a port that is a group."""
    groups = {name for name, port in wanted.items() if port.get("type") == "group"}
    return set(wanted) | {name for name in given if name.partition(".")[0] in groups}


def _check_binding(where: str, given: Value, port: Mapping[str, Any], whole: Pipeline, assets: Assets) -> None:
    kind, text = str(port.get("type")), _text(given)
    bound = _PARENT.fullmatch(text)
    if bound and bound["job"]:
        if bound["job"] not in whole.nodes:
            raise user_error(f"{where}: the pipeline has no job {bound['job']}.")
        made = (whole.nodes[bound["job"]].spec.get("outputs") or {}).get(bound["port"])
        if made is None:
            raise user_error(f"{where}: the job {bound['job']} has no output {bound['port']}.")
        _fits(where, str(made.get("type")), kind)
    elif bound and bound["input"]:
        found = whole.inputs.get(bound["input"])
        if found is None:
            if not port.get("optional") and bound["input"] not in whole.inputs:
                raise user_error(f"{where}: the pipeline has no input {bound['input']}.")
            return
        if not _PARENT.search(_text(found)):
            _check_binding(where, found, port, whole, assets)
    elif given["type"] == "literal":
        if not _PARENT.search(text):
            _check_literal(where, text, port)
    else:
        if text.startswith("runs:/"):
            raise user_error(f"{where}: the URI {text} is not supported.")
        assets.data_at(text, given["type"])
        _fits(where, given["type"], kind)


def _fits(where: str, made: str, wanted: str) -> None:
    one, other = _SAME.get(made, made), _SAME.get(wanted, wanted)
    if wanted not in _DATA or (one != other and "any" not in (one, other)):
        raise user_error(f"{where}: a {made} cannot be given for an input of type {wanted}.")


def _check_literal(where: str, text: str, port: Mapping[str, Any]) -> None:
    kind = str(port.get("type"))
    if kind in _DATA:
        raise user_error(f"{where}: a literal cannot be given for an input of type {kind}.")
    number: float | None = None
    try:
        if kind == "integer":
            number = int(text)
        elif kind == "number":
            number = float(text)
        elif kind == "boolean" and text.lower() not in ("true", "false"):
            raise ValueError
    except ValueError as error:
        raise user_error(f"{where}: the value {text!r} is not of type {kind}.") from error
    if port.get("enum") and text not in [_literal(one) for one in port["enum"]]:
        raise user_error(f"{where}: the value {text!r} is not one of {port['enum']}.")
    low, high = port.get("min"), port.get("max")
    if number is not None and (
        (low is not None and number < float(low)) or (high is not None and number > float(high))
    ):
        raise user_error(f"{where}: the value {text} is not between {low} and {high}.")


def _refuse_cycles(nodes: Mapping[str, Node]) -> None:
    done: set[str] = set()
    while ready := [name for name in nodes if name not in done and nodes[name].upstream <= done]:
        done.update(ready)
    if left := sorted(nodes.keys() - done):
        raise user_error(f"The pipeline graph has a cycle: {', '.join(left)}.")


def _literal(value: Any) -> str:
    return str(value) if not isinstance(value, bool) else str(value).lower() if value is not None else ""


def _text(given: Value) -> str:
    return str(given.get("uri") or given.get("value") or "")
