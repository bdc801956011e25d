"""Owns a pipeline's jobs, those of pipelines inside it among them, each with the component that it runs; refuses what is no
pipeline, and to say what a job computes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from service.adapters.backends.azureml.native.expressions import is_outside
from service.adapters.backends.azureml.native.scopes import Entry, Job, Scope, mapping, nearest
from service.adapters.backends.azureml.native.sources import Sources, Where, refused
from service.domain.names import shown

_DEEPEST = 12
_MOST_JOBS = 1_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
PIPELINE, SWEEP, COMMAND = "pipeline", "sweep", "command"
REGISTERED = "registered component"
_FLOW = frozenset({"nodes", "flow"})
"""Keys of prompt flows and of their runs, which have no type."""


def jobs_of(
    document: Mapping[str, Any], where: Where, sources: Sources, arguments: Mapping[str, Any]
) -> tuple[Job, ...]:
    """Every job of a pipeline; ``arguments`` take the place of its inputs. ``Refused`` says which key is wrong."""
    kind = str(document.get("type") or PIPELINE).lower()
    if kind != PIPELINE:
        raise refused(where, f"its type is {shown(kind)}; `uses` in refit.yaml names a pipeline")
    declared = mapping(document.get("inputs"), where.at("inputs"))
    component = document.get("component")
    spec, spec_where, asset = (
        _component(component, where.at("component"), sources) if component else (document, where, "")
    )
    if asset:
        raise refused(
            where, f"its component {shown(asset)} is in the workspace alone: nobody can see here what it runs"
        )
    known = {**mapping(spec.get("inputs"), spec_where.at("inputs")), **declared}
    if unknown := sorted(arguments.keys() - known.keys()):
        raise refused(
            where, f"`with: {shown(unknown[0])}` in refit.yaml is no input of it, {nearest(unknown[0], known)}"
        )
    outputs = {**mapping(spec.get("outputs"), spec_where), **mapping(document.get("outputs"), where)}
    scope = Scope("", where, {**known, **arguments}, outputs, reruns=_reruns(document, where))
    _fill(scope, spec, spec_where, sources, 0)
    found = tuple(scope.jobs())
    names = [job.name for job in found]
    if not found:
        raise refused(where, "it has no jobs")
    if len(found) > _MOST_JOBS:
        raise refused(where, f"it has {len(found)} jobs, and Refit reads {_MOST_JOBS}")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise refused(where, f"two jobs are called {shown(twice[0])}")
    return found


def _fill(scope: Scope, spec: Mapping[str, Any], where: Where, sources: Sources, depth: int) -> None:
    if depth > _DEEPEST:
        raise refused(where, "its pipelines lie too deep inside each other")
    for name, value in mapping(spec.get("jobs"), where.at("jobs")).items():
        at = where.at("jobs", name)
        whole = f"{scope.prefix}{name}"
        if not _NAME.fullmatch(whole):
            raise refused(at, f"{shown(whole)[:80]!r} is no name of a job")
        if not isinstance(value, Mapping):
            raise refused(at, "it is no mapping")
        kind = str(value.get("type") or "").lower()
        raw = value.get("trial" if kind == SWEEP or "trial" in value else "component")
        inner, inner_where, asset = _component(raw, at, sources) if raw is not None else (value, at, "")
        if not kind or kind == "component":
            kind = str(inner.get("type") or (SWEEP if "trial" in value else REGISTERED if asset else COMMAND)).lower()
        if kind != PIPELINE or asset:
            scope.entries[name] = Entry(Job(whole, kind, value, at, inner, inner_where, asset, scope), None)
            continue
        child = Scope(
            f"{whole}-",
            inner_where,
            mapping(inner.get("inputs"), inner_where.at("inputs")) if inner is not value else {},
            mapping(inner.get("outputs"), inner_where.at("outputs")) if inner is not value else {},
            mapping(value.get("inputs"), at.at("inputs")),
            at.at("inputs"),
            mapping(value.get("outputs"), at.at("outputs")),
            scope,
            scope.reruns or _reruns(value, at) or _reruns(inner, inner_where),
        )
        scope.entries[name] = Entry(None, child)
        _fill(child, inner, inner_where, sources, depth + 1)


def _component(raw: Any, where: Where, sources: Sources) -> tuple[Mapping[str, Any], Where, str]:
    """A component's mapping, where its paths start from; or the name under which the workspace has it."""
    if isinstance(raw, Mapping):
        return raw, where.at("component"), ""
    text = str(raw)
    if is_outside(text):
        return {}, where, text
    path = sources.place(text, where.at("component"))
    document = sources.document(path, where)
    if "type" not in document and _FLOW & document.keys():
        raise refused(
            where.at("component"),
            f"{shown(path)} is a prompt flow, whose code Refit does not read; a command that starts it is read",
        )
    return document, Where(path, path.rpartition("/")[0]), ""


def _reruns(document: Mapping[str, Any], where: Where) -> bool:
    return mapping(document.get("settings"), where.at("settings")).get("force_rerun") is True
