"""Owns what things are called in Azure ML, within its rules for names and unmistakable; refuses to let a repository's words
through as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from service.adapters.backends.cloud.names import digest, slug, token
from service.domain.errors import Refused

_JOB = re.compile(r"refit-[a-z0-9-]{1,120}")
_HANDLE = re.compile(rf"({_JOB.pattern})#([a-z_][a-z0-9_]{{0,63}})")
_PORT = re.compile(r"[a-z_][a-z0-9_]{0,53}")
_URI = re.compile(
    r"azureml://(?:subscriptions/[^/]+/resourcegroups/[^/]+/(?:providers/[^/]+/)?workspaces/[^/]+/)?"
    r"datastores/([A-Za-z0-9_]+)/paths/(.+)",
    re.IGNORECASE,
)
_NATIVE = "-native"
REPORT_PORT, BUNDLE_PORT = "refit_report", "refit_bundle"
"""An output and an input that every job has beside its own."""


@dataclass(frozen=True)
class Handle:
    """One node of one pipeline job."""

    job: str
    node: str

    def __str__(self) -> str:
        return f"{self.job}#{self.node}"


def handle_of(text: str) -> Handle | None:
    """``None`` for a token that never led to one; ``Refused`` for what is neither."""
    found = _HANDLE.fullmatch(text)
    if found:
        return Handle(found.group(1), found.group(2))
    if "#" in text:
        raise Refused(f"following a step: {text!r} is no step of a pipeline job")
    token(text)
    return None


def job_name(repository: str, pipeline: str, submission: str) -> str:
    """Unique in a workspace, and the same for the same submission, which it is found by again."""
    return f"refit-{slug(pipeline).lower()[:40].strip('-')}-{digest('refit', repository, pipeline, submission)[:32]}"


def is_job(text: str) -> bool:
    """Whether it could be the name of a job of Refit's."""
    return _JOB.fullmatch(text) is not None


def native_job_name(repository: str, pipeline: str, submission: str) -> str:
    """Of a submission of native steps; no other job's name ends so."""
    return f"{job_name(repository, pipeline, submission)}{_NATIVE}"


def is_native(job: str) -> bool:
    return job.endswith(_NATIVE)


def node_name(component: str) -> str:
    """A Python identifier in lower case, as the SDK wants nodes and ports to be."""
    if _PORT.fullmatch(component):
        return component
    plain = re.sub(r"[^a-z0-9_]", "_", component.lower())[:40]
    return f"{'' if plain[:1].isalpha() else '_'}{plain}_{digest(component)[:10]}"


def output_port(name: str) -> str:
    return node_name(name) if name != REPORT_PORT else f"{name}_{digest(name)[:10]}"


def input_port(name: str) -> str:
    """Inputs and outputs of a component must not meet, nor Refit's own."""
    return f"in_{node_name(name)}"


def experiment_name(repository: str, pipeline: str) -> str:
    """At most 255 letters, digits, hyphens and underscores."""
    return f"{slug(repository)[:100]}-{slug(pipeline)[:100]}"


def model_name(model: str) -> str:
    return slug(model)[:200]


def model_version(digest: str) -> str:
    """A version is named by its content."""
    return digest.removeprefix("sha256:")[:12]


def tag(text: str) -> str:
    """A tag's or property's value: no control characters, at most 256."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:256]


def datastore_uri(datastore: str, path: str) -> str:
    return f"azureml://datastores/{datastore}/paths/{path}"


def parts_of(uri: str) -> tuple[str, str]:
    """Datastore and path, of a URI in its short or its long form. ``ValueError`` for another."""
    found = _URI.fullmatch(uri)
    if found is None or ".." in found.group(2).split("/"):
        raise ValueError(f"{uri!r} is no path of a datastore")
    return found.group(1), found.group(2).rstrip("/")
