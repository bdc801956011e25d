"""Owns what a job of a pipeline may refer to: the pipeline's inputs, other jobs' outputs, the pipeline around; refuses references
that lead nowhere."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from service.adapters.backends.azureml.native.expressions import INPUT, JOB, OUTPUT, jobs_in
from service.adapters.backends.azureml.native.sources import Where, refused
from service.domain.names import shown

Edge = tuple[str, str]
"""A job's whole name, and one of its outputs."""


@dataclass(frozen=True)
class Data:
    """A place to read from, as it is written; ``where`` says from which file a relative one starts."""

    path: str
    where: Where
    kind: str = ""
    mode: str = ""


@dataclass(frozen=True)
class Bound:
    """What an input is bound to: a plain ``value`` or ``data``, and the outputs (``edges``) that it is read from. ``where``
    says where it is written."""

    where: Where
    value: Any = None
    data: Data | None = None
    edges: tuple[Edge, ...] = ()
    mode: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Job:
    """One job that computes something. ``value`` is its own mapping, ``spec`` its component's: the same for an inline job,
    empty for an ``asset``, a registered component that only the workspace has."""

    name: str
    kind: str
    value: Mapping[str, Any]
    where: Where
    spec: Mapping[str, Any]
    spec_where: Where
    asset: str
    scope: Scope

    def bound(self, raw: Any, where: Where) -> Bound:
        """A value as this job means it."""
        return self.scope.resolve(raw, where)

    def edges_in(self, value: Any) -> tuple[Edge, ...]:
        """Whatever a value reads of other jobs."""
        found = (self.scope.output(name, output, self.where) for name, output in jobs_in(value))
        return tuple(dict.fromkeys(found))

    @property
    def inputs(self) -> Mapping[str, Any]:
        """What is given to it, and the defaults of what is not."""
        return mapping(self.value.get("inputs"), self.where.at("inputs"))

    @property
    def declared_inputs(self) -> Mapping[str, Any]:
        return {} if self.spec is self.value else mapping(self.spec.get("inputs"), self.spec_where.at("inputs"))

    @property
    def outputs(self) -> Mapping[str, Mapping[str, Any]]:
        """Output → what is said of it: its type, where it goes, the name that it is registered under."""
        declared = mapping(self.spec.get("outputs"), self.spec_where.at("outputs"))
        given = mapping(self.value.get("outputs"), self.where.at("outputs"))
        found = {}
        for name in dict.fromkeys((*declared, *given)):
            said = declared.get(name) if self.spec is not self.value else None
            found[name] = {**(said if isinstance(said, Mapping) else {}), **self.scope.said_of(given.get(name))}
        return found


@dataclass(frozen=True)
class Entry:
    """One name below ``jobs``: a job, or a pipeline of its own."""

    job: Job | None
    child: Scope | None


@dataclass
class Scope:
    """One pipeline: what its jobs may refer to. ``given`` and ``made`` are bound by the pipeline around it;
    ``reruns``: it asks for all of its jobs to run, whatever ran before."""

    prefix: str
    where: Where
    declared: Mapping[str, Any]
    outputs: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict)
    given_where: Where | None = None
    made: Mapping[str, Any] = field(default_factory=dict)
    parent: Scope | None = None
    reruns: bool = False
    entries: dict[str, Entry] = field(default_factory=dict)

    def resolve(self, raw: Any, where: Where) -> Bound:
        """What a value means here. ``Refused`` names a reference that leads nowhere."""
        if isinstance(raw, str):
            return self._text(raw, where)
        if not isinstance(raw, Mapping):
            return Bound(where, raw)
        mode, kind = str(raw.get("mode") or ""), str(raw.get("type") or "")
        if raw.get("path") is not None:
            inner = self._text(str(raw["path"]), where.at("path"))
            if inner.edges and inner.data is None:
                return Bound(where, inner.value, None, inner.edges, mode, kind)
            if inner.data is None and INPUT.fullmatch(str(raw["path"]).strip()):
                return Bound(inner.where, inner.value, None, (), mode)  # a plain parameter, in the SDK's own form
            data = inner.data or Data(str(inner.value), inner.where)
            return Bound(
                where, None, Data(data.path, data.where, kind or data.kind, mode or data.mode), inner.edges, mode
            )
        for key in ("value", "default"):
            if key in raw:
                return self.resolve(raw[key], where)
        if not raw or kind:
            return Bound(where)  # declared without a value
        raise refused(where, f"it has neither `path` nor `value`, but {', '.join(map(shown, map(str, raw)))}")

    def input(self, name: str, where: Where) -> Bound:
        """One of the pipeline's own inputs."""
        if name in self.given and self.parent is not None and self.given_where is not None:
            return self.parent.resolve(self.given[name], self.given_where.at(name))
        raw: Any = self.declared
        for part in (name,) if name in self.declared else name.split("."):
            if not isinstance(raw, Mapping) or part not in raw:
                raise refused(where, f"it reads the pipeline's input {shown(name)}, {nearest(name, self.declared)}")
            raw = raw[part]
        return self.resolve(raw, self.where.at("inputs", name))

    def output(self, job: str, name: str, where: Where) -> Edge:
        """The job that really makes an output, which may lie in a pipeline inside this one."""
        entry = self.entries.get(job)
        if entry is None:
            raise refused(where, f"it reads an output of the job {shown(job)}, {nearest(job, self.entries)}")
        if entry.child is None:
            return f"{self.prefix}{job}", name
        for inner, one in entry.child.entries.items():
            value = one.job.value if one.job else {"outputs": one.child.made if one.child else {}}
            for output, raw in (value.get("outputs") or {}).items():
                if _sent_to(raw) == name:
                    return entry.child.output(inner, output, where)
        raise refused(where, f"it reads the output {shown(name)} of {shown(job)}, which no job of that pipeline makes")

    def said_of(self, raw: Any) -> Mapping[str, Any]:
        """What is said of an output, through the pipelines around."""
        name = _sent_to(raw)
        if name is None:
            return raw if isinstance(raw, Mapping) else {}
        own = self.outputs.get(name)
        around = self.parent.said_of(self.made.get(name)) if self.parent else {}
        return {**(own if isinstance(own, Mapping) else {}), **around}

    def jobs(self) -> Iterator[Job]:
        for entry in self.entries.values():
            if entry.job is not None:
                yield entry.job
            if entry.child is not None:
                yield from entry.child.jobs()

    def _text(self, text: str, where: Where) -> Bound:
        plain = text.strip()
        if whole := INPUT.fullmatch(plain):
            return self.input(whole.group(1), where)
        edges = tuple(dict.fromkeys(self.output(name, output, where) for name, output in JOB.findall(text)))
        if JOB.fullmatch(plain):
            return Bound(where, None, None, edges)
        more: list[Edge] = []

        def filled(found: re.Match[str]) -> str:
            inner = self.input(found.group(1), where)
            more.extend(inner.edges)
            return str(inner.data.path if inner.data else inner.value)

        return Bound(where, INPUT.sub(filled, text), None, (*edges, *more))


def _sent_to(raw: Any) -> str | None:
    """The pipeline's output that a job's output is bound to."""
    text = raw.get("path") if isinstance(raw, Mapping) else raw
    found = OUTPUT.fullmatch(text.strip()) if isinstance(text, str) else None
    return found.group(1) if found else None


def mapping(value: Any, where: Where) -> Mapping[str, Any]:
    """A value that must be a mapping, or nothing."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise refused(where, "it is no mapping")
    return value


def nearest(name: str, names: Iterable[str]) -> str:
    """The end of a sentence about a name that is none of ``names``."""
    known = sorted(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return (
        f"which is none; did you mean {close[0]!r}?"
        if close
        else f"which is none; there is {', '.join(known) or 'none'}"
    )
