"""Owns what things are called in AWS, within AWS's rules for names and unmistakable; refuses to let a repository's words
through as they are."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from service.domain.errors import Refused

_TOKEN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,250}")
_HANDLE = re.compile(
    r"(arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:pipeline/[A-Za-z0-9-]+/execution/[a-z0-9]+)#([\w-]{1,64})"
)
_MOST_DISPLAYED = 82


@dataclass(frozen=True)
class Handle:
    """One step of one pipeline execution."""

    execution: str
    step: str

    def __str__(self) -> str:
        return f"{self.execution}#{self.step}"


def handle_of(text: str) -> Handle | None:
    """``None`` for a token that never led to one; ``Refused`` for what is neither."""
    found = _HANDLE.fullmatch(text)
    if found:
        return Handle(found.group(1), found.group(2))
    token(text)
    return None


def token(text: str) -> str:
    """The token, if it is one."""
    if not _TOKEN.fullmatch(text):
        raise Refused(f"running a step: {text!r} is not a token")
    return text


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()


def step_name(component: str) -> str:
    """At most 64 letters, digits, hyphens and underscores."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", component)
    return plain if plain == component and len(plain) <= 64 else f"{plain[:51]}-{digest(component)[:12]}"


def pipeline_name(repository: str, pipeline: str) -> str:
    """One for each pipeline of each repository."""
    return f"refit-{_slug(f'{repository}-{pipeline}')[:100]}-{digest(repository, pipeline)[:8]}"


def display_name(commit: str, submission: str) -> str:
    """Letters, digits and hyphens; the same for the same submission, by which it is found again."""
    return f"{commit[:12]}-{_slug(submission)[: _MOST_DISPLAYED - 26]}-{digest(submission)[:12]}"


def request_token(submission: str) -> str:
    """What StartPipelineExecution is idempotent by: 64 characters."""
    return digest("refit", submission)


def group_name(model: str) -> str:
    """Of a model package group."""
    return _slug(model)[:63].strip("-") or "model"


def tag(text: str) -> str:
    """A tag's value."""
    return re.sub(r"[^A-Za-z0-9 _.:/=+@-]", "-", text)[:256]


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "x"
