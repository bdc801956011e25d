"""Owns an Azure ML job → the component that Refit decides about: settings, inputs, code, what always runs; refuses to resolve the
version of anything outside the repository."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from service.adapters.backends.azureml.native.code import CODE, Code, shipped, started, started_script
from service.adapters.backends.azureml.native.environments import ENVIRONMENT, Environment, environment_of
from service.adapters.backends.azureml.native.expressions import is_outside, places_in
from service.adapters.backends.azureml.native.jobs import REGISTERED, SWEEP
from service.adapters.backends.azureml.native.scopes import Bound, Data, Job, mapping
from service.adapters.backends.azureml.native.sources import Sources, Where
from service.adapters.backends.sandbox.values import canonical, strings, told
from service.domain.assessment import is_pinned
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
)

COMPONENT = "component"
_UNDERSTOOD = frozenset({"command", "sweep", "parallel", "spark", "automl", "pipeline", REGISTERED})
_OUTSIDE = {
    "import": "what it imports lies outside the repository",
    "data_transfer": "what it copies lies outside the repository",
}
PORTS = frozenset({"uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model", "path"})
_MOUNTED = frozenset({"", "ro_mount", "rw_mount", "mount", "download", "upload"})
"""Modes that put the same bytes before the step."""
_NAMES = "$schema id name version type display_name description tags comment experiment_name creation_context"
_MACHINES = "compute resources identity services queue_settings job_tier priority instance_count"
_READ = (
    "component trial inputs outputs jobs code environment command environment_variables additional_includes settings"
)
_TRYING = "is_deterministic limits retry_settings logging_level max_concurrency_per_instance max_concurrent_trials"
_SEARCHES, _HASTE = frozenset({SWEEP, "automl"}), re.compile("timeout|concurrent|cores")
"""What is found depends on how much is tried, and not on how fast."""
IGNORED = frozenset(f"{_NAMES} {_MACHINES} {_READ} {_TRYING}".split())
"""Keys that only name a job or say how and where it runs, and those that are read by themselves."""
_WHERE_TO = frozenset({"mode", "description"})


def bindings(job: Job) -> Iterator[tuple[str, Bound]]:
    """Every input with what it is bound to; a text that is bound to a port of data names a place."""
    declared, given = job.declared_inputs, job.inputs
    for name in dict.fromkeys((*declared, *given)):
        said = declared.get(name)
        if name in given:
            found = job.bound(given[name], job.where.at("inputs", name))
        else:
            found = Bound(job.spec_where.at("inputs", name), said.get("default") if isinstance(said, Mapping) else said)
            if isinstance(said, Mapping) and said.get("path") is not None:
                found = Bound(found.where, None, Data(str(said["path"]), found.where))
        kind = str(said.get("type") or "") if isinstance(said, Mapping) else ""
        text = found.value
        if isinstance(text, str) and (kind in PORTS or (not kind and text.startswith("azureml:"))):
            found = Bound(found.where, None, Data(text, found.where, kind), found.edges, found.mode)
        yield name, found


class Step:
    """One job, read once. ``hint`` is what refit.yaml adds about it."""

    def __init__(self, job: Job, sources: Sources, hint: Hint) -> None:
        self._job = job
        self._sources = sources
        self._hint = hint
        self._spec = job.spec
        task = job.spec.get("task")
        self._inner = task if job.kind == "parallel" and isinstance(task, Mapping) else job.spec
        self._inner_where = job.spec_where.at("task") if self._inner is not job.spec else job.spec_where
        self._environment = self._read_environment()
        self._code = self._read_code()
        self._bound = dict(bindings(job))

    @property
    def name(self) -> str:
        return self._job.name

    def settings(self) -> dict[str, str]:
        """Everything that the definition says of the step and that can change its result, by name."""
        job, found = self._job, {"type": self._job.kind, **self._environment.settings}
        for key, value in {**self._spec, **job.value}.items():
            if key not in IGNORED and key != "task":
                found[key] = canonical(self._meant(value))
        for key, value in self._task():
            found[f"task.{key}"] = canonical(self._meant(value))
        if "command" in self._inner:
            found["command"] = canonical(self._meant(str(self._inner["command"]).strip()))
        for name, value in self._variables().items():
            found[f"environment_variables.{name}"] = canonical(self._meant(value))
        if job.kind in _SEARCHES:
            limits = mapping(job.value.get("limits"), job.where.at("limits"))
            found |= {
                f"limits.{key}": canonical(self._meant(one)) for key, one in limits.items() if not _HASTE.search(key)
            }
        for name, bound in self._bound.items():
            mode = bound.mode or (bound.data.mode if bound.data else "")
            if bound.data is not None and is_outside(bound.data.path):
                found[f"input.{name}"] = bound.data.path
            elif bound.data is None and bound.value is None and bound.edges:
                found[f"input.{name}"] = ", ".join(f"{job}.{output}" for job, output in bound.edges)
            elif bound.data is None:
                found[f"input.{name}"] = canonical(bound.value)
            if mode not in _MOUNTED:
                found[f"input.{name}.mode"] = mode
        for name, said in job.outputs.items():
            told_of = {key: value for key, value in said.items() if key not in _WHERE_TO}
            found[f"output.{name}"] = canonical(self._meant(told_of))
        for name, text in ((COMPONENT, job.asset), (CODE, self._code.asset or "; ".join(self._code.outside))):
            if text:
                found[name] = text
        return found

    def component(
        self, settings: Mapping[str, str], read_by_others: Mapping[str, None], changing: list[str]
    ) -> Component:
        """``read_by_others`` are outputs that other steps read, ``changing`` settings that say nothing of the commit."""
        inputs: dict[str, Input] = {}
        for job, output in self.edges():
            inputs[f"{job}.{output}"] = UpstreamInput(job, output)
        for name, path in (*self._local_data(), *self._environment.folders.items(), *self._code.read):
            inputs[name] = RepositoryInput(path)
        for name, uri in dict.fromkeys(self._outside()):
            if not is_pinned(uri) and name not in self._hint.constant_inputs:
                inputs[name if name not in inputs else f"{name} {uri}"] = UriInput(uri)
        return Component(
            name=self.name,
            run=self._code.run,
            params=self._hint.params,
            paths=self._hint.paths,
            inputs=tuple(sorted(inputs.items())),
            outputs=tuple(dict.fromkeys((*self._job.outputs, *read_by_others))),
            settings=tuple(sorted((name, text) for name, text in settings.items() if name not in changing)),
            limits=self._limits(),
            native=NativeStep(
                self._job.kind,
                self._code.ships,
                tuple(self._always(changing)),
                (*self._environment.notes, *self._code.notes),
                self._code.starts,
                self._code.root,
            ),
        )

    def edges(self) -> tuple[tuple[str, str], ...]:
        """(step, output) that must be there first, each once."""
        bound = [edge for one in self._bound.values() for edge in one.edges]
        rest = {key: value for key, value in self._job.value.items() if key not in ("inputs", "outputs", "jobs")}
        return tuple(dict.fromkeys((*bound, *self._job.edges_in(rest))))

    def _read_environment(self) -> Environment:
        job = self._job
        if job.value is not job.spec and job.value.get(ENVIRONMENT) is not None:  # a job has the last word
            return environment_of(job.value[ENVIRONMENT], job.where.at(ENVIRONMENT), self._sources)
        return environment_of(self._inner.get(ENVIRONMENT), self._inner_where.at(ENVIRONMENT), self._sources)

    def _read_code(self) -> Code:
        spec, where = self._inner, self._inner_where
        includes = self._spec.get("additional_includes")
        code = shipped(spec.get(CODE), includes, where, self._sources)
        entry = spec.get("entry")
        if "entry_script" in spec and code.ships:
            return started_script(code, spec["entry_script"], where.at("entry_script"))
        if isinstance(entry, Mapping) and "file" in entry and not spec.get("py_files") and code.ships:
            return started_script(code, entry["file"], where.at("entry"))
        return started(code, str(spec.get("command") or ""), self._variables())

    def _variables(self) -> Mapping[str, Any]:
        """A job's own beside its component's."""
        values = (self._inner.get("environment_variables"), self._job.value.get("environment_variables"))
        return {name: one for value in values if isinstance(value, Mapping) for name, one in value.items()}

    def _task(self) -> Iterator[tuple[str, Any]]:
        """What a parallel job says of its task; other kinds have a plain word there, or nothing."""
        if self._inner is not self._spec:
            yield from ((key, value) for key, value in self._inner.items() if key not in IGNORED)
        elif "task" in self._spec:
            yield "name", self._spec["task"]

    def _meant(self, value: Any) -> Any:
        """A value with the pipeline's parameters filled in; what is read of other jobs is an edge, and stays as it is written."""
        if isinstance(value, Mapping):
            return {key: self._meant(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self._meant(one) for one in value]
        if not isinstance(value, str) or "parent." not in value:
            return value
        bound = self._job.bound(value, self._job.where)
        return bound.data.path if bound.data else value if bound.value is None else bound.value

    def _local_data(self) -> Iterator[tuple[str, str]]:
        for name, data in self._data():
            if not is_outside(data.path):
                yield name, self._sources.contained(data.path, data.where)

    def _data(self) -> Iterator[tuple[str, Data]]:
        """Everything that is read from a place: inputs, and what other keys name as one."""
        for name, bound in self._bound.items():
            if bound.data is not None:
                yield name, bound.data
        for key, value in (*self._rest(), *((f"task.{key}", value) for key, value in self._task())):
            is_place = isinstance(value, Mapping) and isinstance(value.get("path"), str)
            if is_place or (isinstance(value, str) and "parent." in value):
                bound = self._job.bound(value, self._job.where.at(key))
                if bound.data is not None:
                    yield key, bound.data

    def _rest(self) -> Iterator[tuple[str, Any]]:
        yield from ((key, one) for key, one in {**self._spec, **self._job.value}.items() if key not in IGNORED)

    def _outside(self) -> Iterator[tuple[str, str]]:
        """(name, place) of everything outside the repository that the step may read: whatever names one counts, since a script
        may read what its arguments name."""
        for name, asset in (
            (COMPONENT, self._job.asset),
            (CODE, self._code.asset),
            (ENVIRONMENT, self._environment.asset),
        ):
            if asset:
                yield name, asset
        seen = {COMPONENT, CODE, ENVIRONMENT}
        for name, data in self._data():
            seen.add(name)
            if is_outside(data.path):
                yield name, data.path
            elif data.kind == "mltable":
                yield from ((name, place) for place in self._table(data))
        texts: list[tuple[str, Any]] = [
            (name, bound.value) for name, bound in self._bound.items() if bound.data is None
        ]
        texts += [("command", self._inner.get("command"))]
        texts += [(f"environment_variables.{name}", self._meant(one)) for name, one in self._variables().items()]
        texts += [(key, self._meant(value)) for key, value in self._rest() if key not in seen]
        texts += [(f"task.{key}", self._meant(value)) for key, value in self._task()]
        for name, value in texts:
            for text in strings(value):
                yield from ((name, place) for place in places_in(text))

    def _table(self, data: Data) -> Iterator[str]:
        """A table's own file may name places anywhere."""
        file = f"{self._sources.contained(data.path, data.where)}/MLTable".lstrip("/")
        if self._sources.exists(file):
            for text in strings(self._sources.value(file, data.where)):
                yield from places_in(text)

    def _limits(self) -> Limits:
        job = self._job
        limits = mapping(job.value.get("limits"), job.where.at("limits"))
        seconds = limits.get("timeout")
        resources = {**self._resources(self._spec, job.spec_where), **self._resources(job.value, job.where)}
        machine = resources.get("instance_type") or job.value.get("compute")
        return Limits(
            timeout=float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else None,
            instance=machine.removeprefix("azureml:") if isinstance(machine, str) and "${{" not in machine else None,
        )

    def _resources(self, value: Mapping[str, Any], where: Where) -> Mapping[str, Any]:
        return mapping(value.get("resources"), where.at("resources"))

    def _always(self, changing: list[str]) -> Iterator[str]:
        """Why no earlier result can stand for the step."""
        job = self._job
        for what in self._code.outside:
            if CODE not in self._hint.constant_inputs:
                yield f"{what} is outside the repository"
        if job.kind not in _UNDERSTOOD:
            yield _OUTSIDE.get(job.kind, f"jobs of type {shown(job.kind)} are not understood")
        if False in (job.spec.get("is_deterministic"), job.value.get("is_deterministic")):
            yield "its component says is_deterministic: false"
        if job.scope.reruns:
            yield "the pipeline's settings say force_rerun: true"
        yield from map(told, changing)
