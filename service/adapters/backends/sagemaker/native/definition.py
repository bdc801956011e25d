"""Owns a compiled definition → the components that Refit decides about: names, edges, code, settings; refuses to compile, and to
trust a value that another compile of the same commit gives differently."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from service.adapters.backends.sagemaker.native.code import URI, Code, code_of
from service.adapters.backends.sagemaker.native.compiler import Account, Compiled, Upload
from service.adapters.backends.sagemaker.native.expressions import (
    DONE,
    meant,
    output_named,
    parameters_of,
    references,
)
from service.adapters.backends.sagemaker.native.steps import UNDERSTOOD, Step, declared_outputs, reports_of, steps_of
from service.adapters.backends.sagemaker.native.uploads import Origins
from service.adapters.backends.sandbox.values import canonical, differing, strings, told
from service.domain.assessment import is_pinned
from service.domain.errors import Refused
from service.domain.names import shown
from service.domain.pipeline import (
    Component,
    Hint,
    Input,
    Limits,
    NativeStep,
    RepositoryInput,
    UpstreamInput,
    UriInput,
    in_order,
)
from service.domain.tree import Tree

_OUTSIDE = {
    "Lambda": "the code of a Lambda function lies outside the repository",
    "Callback": "what answers a callback lies outside the repository",
    "EMR": "what a cluster runs lies outside the repository",
}
_TOOLKIT_OWN = frozenset({"sagemaker_region", "sagemaker_job_name", "sagemaker_container_log_level"})
_SPELLED_OUT = {"HyperParameters": "hyperparameters", "Environment": "environment"}


def components_of(
    compiled: Compiled, tree: Tree, account: Account, hints: Mapping[str, Hint], path: str
) -> tuple[Component, ...]:
    """The steps in topological order. ``Refused`` says what the definition at ``path`` must do."""
    steps = {step.name: step for step in steps_of(compiled.definition, path)}
    again = {step.name: step for step in steps_of(compiled.again, path)}
    if steps.keys() != again.keys():
        other = sorted(steps.keys() ^ again.keys())[0]
        raise Refused(
            f"compiling {path}: the step name {other} differs at every compile; give each step a constant name"
        )
    if unknown := sorted(hints.keys() - steps.keys()):
        raise Refused(
            f"compiling {path}: refit.yaml has hints for {unknown[0]}, which is no step; there is {', '.join(sorted(steps))}"
        )
    reading = _Reading(compiled, tree, account, steps)
    edges = {name: reading.edges(step) for name, step in steps.items()}
    made = reading.outputs(edges)
    later = _Reading(compiled, tree, account, again, compiled.again, compiled.uploads_again)
    found = {}
    for name, step in steps.items():
        was, now = reading.settings(step), later.settings(again[name])
        changing = differing(was, now)
        found[name] = reading.component(step, edges[name], made[name], was, changing, hints.get(name, Hint()))
    order, left = in_order({name: one.upstream for name, one in found.items()})
    if left:
        raise Refused(f"compiling {path}: these steps need each other in a cycle: {', '.join(left)}")
    return tuple(found[name] for name in order)


class _Reading:
    """One compile, read step by step."""

    def __init__(
        self,
        compiled: Compiled,
        tree: Tree,
        account: Account,
        steps: Mapping[str, Step],
        definition: Mapping[str, Any] | None = None,
        uploads: tuple[Upload, ...] | None = None,
    ) -> None:
        self._origins = Origins(compiled.uploads if uploads is None else uploads, tree, compiled.seen.read)
        self._parameters = parameters_of(definition or compiled.definition)
        self._account = account
        self._steps = steps
        self._files = {name: {name: output for name, output, _ in reports_of(step)} for name, step in steps.items()}

    def edges(self, step: Step) -> tuple[tuple[str, str], ...]:
        """(step, output) that must be there first, each once."""
        found = [
            (name, output_named(path, self._files.get(name, {})))
            for name, path in references([step.arguments, step.value.get("CacheConfig")])
            if name in self._steps
        ]
        waits = [one for one in step.value.get("DependsOn", ()) if one in self._steps]
        waits += [step.inside[-1].condition] if step.inside else []
        known = {name for name, _ in found}
        return tuple(dict.fromkeys([*found, *((name, DONE) for name in waits if name not in known)]))

    def outputs(self, edges: Mapping[str, tuple[tuple[str, str], ...]]) -> dict[str, tuple[str, ...]]:
        """What each step makes: what it declares, and what others read of it."""
        found = {name: list(declared_outputs(step)) for name, step in self._steps.items()}
        for reads in edges.values():
            for name, output in reads:
                found[name].append(output)
        return {name: tuple(dict.fromkeys(outputs)) for name, outputs in found.items()}

    def component(
        self,
        step: Step,
        edges: tuple[tuple[str, str], ...],
        outputs: tuple[str, ...],
        settings: Mapping[str, str],
        changing: list[str],
        hint: Hint,
    ) -> Component:
        code = self._code(step)
        inputs: dict[str, Input] = {f"{name}.{output}": UpstreamInput(name, output) for name, output in edges}
        inputs |= {name: RepositoryInput(path) for name, path in code.data}
        for name, uri in self._outside(step):
            if not is_pinned(uri) and name not in hint.constant_inputs:
                inputs[name if name not in inputs else f"{name} {uri}"] = UriInput(uri)
        metrics = next((path for _, _, path in reports_of(step)), None) if "metrics" not in outputs else None
        return Component(
            name=step.name,
            run=code.run,
            params=hint.params,
            paths=hint.paths,
            inputs=tuple(sorted(inputs.items())),
            outputs=outputs,
            metrics=metrics,
            settings=tuple(sorted((name, text) for name, text in settings.items() if name not in changing)),
            limits=self._limits(step),
            native=NativeStep(
                step.kind, tuple(dict.fromkeys(code.ships)), _always(step, code, changing, hint), code.notes
            ),
        )

    def settings(self, step: Step) -> dict[str, str]:
        """Everything that the definition says of a step and that can change its result, by name."""
        found = {"type": step.kind}
        for key, value in step.arguments.items():
            as_meant = meant({key: value}, self._parameters, self._said)
            if key not in as_meant:
                continue
            if key in _SPELLED_OUT and isinstance(as_meant[key], dict):
                for name, one in as_meant[key].items():
                    if key != "HyperParameters" or name not in _TOOLKIT_OWN:
                        found[f"{_SPELLED_OUT[key]}.{name}"] = canonical(one)
            elif key == "AppSpecification" and isinstance(as_meant[key], dict):
                names = {"ImageUri": "image", "ContainerArguments": "arguments", "ContainerEntrypoint": "entrypoint"}
                found |= {names.get(name, name): canonical(one) for name, one in as_meant[key].items()}
            elif key == "AlgorithmSpecification" and isinstance(as_meant[key], dict):
                found |= {"image" if n == "TrainingImage" else n: canonical(one) for n, one in as_meant[key].items()}
            elif key == "ProcessingInputs":
                found |= {f"input.{one.get('InputName')}": canonical(one) for one in as_meant[key]}
            elif key == "InputDataConfig" and isinstance(as_meant[key], list):
                found |= {f"channel.{one.get('ChannelName')}": canonical(one) for one in as_meant[key]}
            elif key == "ProcessingOutputConfig":
                for one in as_meant[key].get("Outputs", ()):
                    where = {name: text for name, text in one.get("S3Output", {}).items() if name != "S3Uri"}
                    found[f"output.{one.get('OutputName')}"] = canonical(where)
            else:
                found[key] = canonical(as_meant[key])
        found |= {f"report.{name}": f"{output}/{path}" for name, output, path in reports_of(step)}
        made = self._code(step).made
        return found | ({"generated": canonical(sorted(made))} if made else {})

    def _code(self, step: Step) -> Code:
        return code_of(step.kind, meant(step.arguments, self._parameters, str), self._origins)

    def _said(self, text: str) -> str:
        """A string without what is the operator's, and without the place that an upload happened to get."""
        if "s3://" in text:
            for uri in sorted(self._origins.uploads, key=len, reverse=True):
                text = text.replace(uri, f"upload:{uri.rpartition('/')[2]}")
            for prefix in sorted({uri.rpartition("/")[0] for uri in self._origins.uploads}, key=len, reverse=True):
                if text.rstrip("/") == prefix:
                    text = "upload:"
        if text == self._account.role:
            return "<role>"
        if text == self._account.bucket:
            return "<bucket>"
        return re.sub(rf"s3://{re.escape(self._account.bucket)}(?=/|$)", "s3://<bucket>", text)

    def _outside(self, step: Step) -> Iterator[tuple[str, str]]:
        """(name, place) of everything that a step may read and that neither a step nor this compile made: whatever names a
        place in S3 counts, since a script may read what its arguments name."""
        given = meant(step.arguments, self._parameters, str)
        given.pop("ProcessingOutputConfig", None)
        named = [(str(one.get("InputName")), one) for one in given.pop("ProcessingInputs", ())]
        channels = given.pop("InputDataConfig", ())
        named += [(str(one.get("ChannelName")), one) for one in (channels if isinstance(channels, list) else [])]
        for name, one in named:
            place = one.get("S3Input") or one.get("DataSource", {}).get("S3DataSource") or {}
            uri = place.get("S3Uri")
            if not isinstance(uri, str) and not list(references(uri)):
                yield name, canonical(one)  # a file system, a query, or a place that each execution works out
        for key, value in given.items():
            if key in _SPELLED_OUT and isinstance(value, dict):
                named += [(f"{_SPELLED_OUT[key]}.{name}", one) for name, one in value.items()]
            elif key == "AppSpecification":
                named += [("arguments" if n == "ContainerArguments" else n, one) for n, one in value.items()]
            else:
                named.append((key, value))
        for name, value in named:
            for text in strings(value):
                for uri in URI.findall(text):
                    if not self._origins.at(uri):
                        yield name, uri

    def _limits(self, step: Step) -> Limits:
        given = step.arguments
        cluster = given.get("ResourceConfig") or given.get("ProcessingResources", {}).get("ClusterConfig") or {}
        instance = meant(cluster.get("InstanceType"), self._parameters, str)
        seconds = meant((given.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds"), self._parameters, str)
        return Limits(
            timeout=float(seconds) if isinstance(seconds, int | float) else None,
            instance=instance if isinstance(instance, str) else None,
        )


def _always(step: Step, code: Code, changing: list[str], hint: Hint) -> tuple[str, ...]:
    """Why no earlier result can stand for a step."""
    found = [f"{what} is outside the repository" for what in code.outside if "code" not in hint.constant_inputs]
    if step.kind not in UNDERSTOOD:
        found.append(_OUTSIDE.get(step.kind, f"steps of type {shown(step.kind)} are not understood"))
    found += [told(name) for name in changing]
    return tuple(found)
