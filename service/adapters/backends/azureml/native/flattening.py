"""Owns some jobs of a definition → the jobs of a pipeline that has these alone: each with its component in place, paths below an
export, and what is read of others given by the place where it lies; refuses Azure, and jobs that read what is nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.adapters.backends.azureml import names
from service.adapters.backends.azureml.native.code import CODE, included
from service.adapters.backends.azureml.native.environments import ENVIRONMENT, names_a_file
from service.adapters.backends.azureml.native.expressions import JOB, is_outside
from service.adapters.backends.azureml.native.jobs import REGISTERED, SWEEP
from service.adapters.backends.azureml.native.scopes import Bound, Data, Edge, Job
from service.adapters.backends.azureml.native.sources import Sources, Where, refused
from service.adapters.backends.azureml.native.steps import bindings
from service.domain.errors import Refused

_INCLUDES = "additional_includes"
_FILES = frozenset({CODE, ENVIRONMENT, _INCLUDES})
_OWN = _FILES | {"$schema", "id", "name", "component", "trial", "inputs", "outputs", "jobs", "services"}
"""Keys of a job that are written anew; nobody is there to use its interactive services."""
_PREVIEWS = frozenset({"do_while", "parallel_for", "if_else"})
_COMPONENTS_OWN = _FILES | {"$schema", "id", "name", "version", "creation_context"}


class Flattening:
    """``nodes`` are the jobs to run by their whole names, with their names in the new pipeline; ``kept`` says where outputs
    of others lie. ``root`` is where the commit's files lie, relative to the document."""

    def __init__(self, sources: Sources, nodes: Mapping[str, str], kept: Mapping[Edge, str], root: str) -> None:
        self._sources = sources
        self._nodes = nodes
        self._kept = kept
        self._root = root
        self.inputs: dict[str, Any] = {}
        """Of the new pipeline, by what :meth:`job` has needed so far."""

    def job(self, job: Job) -> dict[str, Any]:
        """One job as the SDK takes it. ``Refused`` for one that it does not take."""
        if job.kind in _PREVIEWS:
            raise Refused(
                f"submitting {job.name}: jobs of type {job.kind} are a private preview, which Azure ML's SDK refuses; write "
                "what it repeats or chooses as jobs of its own"
            )
        found = {key: self._filled(value, job) for key, value in job.value.items() if key not in _OWN}
        found["type"] = "command" if job.kind in (REGISTERED, "component") else job.kind
        inline = job.spec is job.value
        inner: Any = job.asset
        if inline:
            found |= self._code(job.spec, job.spec_where)
        elif not job.asset:
            inner = {key: value for key, value in job.spec.items() if key not in _COMPONENTS_OWN}
            inner |= {"name": self._nodes[job.name], **self._code(job.spec, job.spec_where)}
        if not inline:
            found["trial" if job.kind == SWEEP else "component"] = inner
            if job.value.get(ENVIRONMENT) is not None:
                found[ENVIRONMENT] = self._environment(job.value[ENVIRONMENT], job.where.at(ENVIRONMENT))
        found["inputs"] = dict(self._inputs(job))
        outputs = {
            name: {key: self._filled(one, job) for key, one in said.items()} for name, said in job.outputs.items()
        }
        given = job.value.get("outputs") or {}
        found["outputs"] = {name: said or None for name, said in outputs.items() if inline or (said and name in given)}
        return {key: value for key, value in found.items() if value not in ({}, None)}

    def _inputs(self, job: Job) -> Any:
        declared = job.declared_inputs
        for name, bound in bindings(job):
            if name not in job.inputs:
                continue  # its component's default
            said = declared.get(name)
            kind = str(said.get("type") or "") if isinstance(said, Mapping) else ""
            value = self._value(bound, kind, job)
            if value is not None:
                yield name, value

    def _value(self, bound: Bound, kind: str, job: Job) -> Any:
        mode = {"mode": bound.mode} if bound.mode else {}
        if bound.data is not None:
            data = bound.data
            mode = {"mode": data.mode} if data.mode else mode
            return {"type": data.kind or kind or self._kind(data), "path": self._place(data), **mode}
        if bound.edges and bound.value is None:
            source = self._source(bound.edges[0], bound.kind or kind, job)
            return {"path": source, **mode} if mode else source
        return self._renamed(bound.value, job)

    def _source(self, edge: Edge, kind: str, job: Job) -> str:
        """An output of a job that runs too, or a new input of the pipeline, of the type that its reader wants."""
        if edge[0] in self._nodes:
            return f"${{{{parent.jobs.{self._nodes[edge[0]]}.outputs.{edge[1]}}}}}"
        uri = self._kept.get(edge)
        if uri is None:
            raise Refused(
                f"submitting {job.name}: the output {edge[1]} of {edge[0]}, which it reads, is not there any more"
            )
        wanted = kind or "uri_folder"
        name = names.node_name(f"{edge[0]}_{edge[1]}_{wanted}")
        self.inputs[name] = {"type": wanted, "path": uri}
        return f"${{{{parent.inputs.{name}}}}}"

    def _filled(self, value: Any, job: Job) -> Any:
        """A value of any other key, with the pipeline's parameters in place and what it reads of other jobs."""
        if isinstance(value, Mapping):
            if isinstance(value.get("path"), str):
                bound = job.bound(value, job.where)
                if bound.data is not None or (bound.edges and bound.value is None):
                    placed = self._value(bound, str(value.get("type") or ""), job)
                    return {**value, **(placed if isinstance(placed, dict) else {"path": placed})}
            return {key: self._filled(one, job) for key, one in value.items()}
        if isinstance(value, list):
            return [self._filled(one, job) for one in value]
        if not isinstance(value, str) or "parent." not in value:
            return value
        bound = job.bound(value, job.where)
        if bound.data is not None or (bound.edges and bound.value is None):
            return self._value(bound, "", job)
        return self._renamed(bound.value, job)

    def _renamed(self, value: Any, job: Job) -> Any:
        """A text that names outputs inside it."""
        if not isinstance(value, str):
            return value
        return JOB.sub(
            lambda found: self._source(job.scope.output(found.group(1), found.group(2), job.where), "", job), value
        )

    # places -----------------------------------------------------------------------------------------------------------

    def _below(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _place(self, data: Data) -> str:
        return data.path if is_outside(data.path) else self._below(self._sources.contained(data.path, data.where))

    def _kind(self, data: Data) -> str:
        local = not is_outside(data.path)
        is_file = local and self._sources.exists(self._sources.place(data.path, data.where))
        return "uri_file" if is_file else "uri_folder"

    def _code(self, spec: Mapping[str, Any], where: Where) -> dict[str, Any]:
        """Everything of a component that names files."""
        found: dict[str, Any] = {}
        code = spec.get(CODE)
        if isinstance(code, Mapping):
            code = code.get("local_path")
        if isinstance(code, str):
            is_local = not is_outside(code) and not code.startswith(("git+", "git@"))
            found[CODE] = self._below(self._sources.contained(code, where.at(CODE))) if is_local else code
        if spec.get(ENVIRONMENT) is not None:
            found[ENVIRONMENT] = self._environment(spec[ENVIRONMENT], where.at(ENVIRONMENT))
        includes = [
            self._included(one, where.at(_INCLUDES)) for one in included(spec.get(_INCLUDES), where, self._sources)
        ]
        if includes:
            found[_INCLUDES] = includes
        if isinstance(spec.get("task"), Mapping):
            task, at = spec["task"], where.at("task")
            found["task"] = {
                **{key: one for key, one in task.items() if key not in (CODE, ENVIRONMENT)},
                **self._code(task, at),
            }
        return found

    def _included(self, one: Any, where: Where) -> Any:
        if not isinstance(one, str):
            return one
        folder = one.removesuffix(".zip")
        try:
            return self._below(self._sources.contained(one, where))
        except Refused:
            if folder == one:
                raise
            return f"{self._below(self._sources.contained(folder, where))}.zip"

    def _environment(self, value: Any, where: Where) -> Any:
        """In place, since its files are found from another folder now."""
        if isinstance(value, str):
            text = value.strip()
            if is_outside(text):
                return text
            if not names_a_file(text):
                return f"azureml:{text}"
            path = self._sources.place(text, where)
            return self._environment(dict(self._sources.document(path, where)), Where(path, path.rpartition("/")[0]))
        if not isinstance(value, Mapping):
            raise refused(where, "it is neither a name nor a mapping")
        found = {key: one for key, one in value.items() if key not in ("$schema", "name", "version")}
        if isinstance(found.get("conda_file"), str):
            at = where.at("conda_file")
            found["conda_file"] = self._sources.value(self._sources.place(found["conda_file"], at), at)
        build = found.get("build")
        if isinstance(build, Mapping) and isinstance(build.get("path"), str) and not is_outside(build["path"]):
            found["build"] = {**build, "path": self._below(self._sources.contained(build["path"], where.at("build")))}
        return found
