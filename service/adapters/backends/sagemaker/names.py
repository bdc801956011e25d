"""Owns what things are called in AWS, within AWS's rules for names and unmistakable; refuses to let a repository's words
through as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from service.adapters.backends.cloud.names import digest, slug, token

_HANDLE = re.compile(
    r"(arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:pipeline/[A-Za-z0-9-]+/execution/[a-z0-9]+)#([\w-]{1,64})(?:@([0-9a-f]{64}))?"
)
_MOST_DISPLAYED = 82


@dataclass(frozen=True)
class Handle:
    """One step of one pipeline execution; of a native one, with the name of what was noted at its submission."""

    execution: str
    step: str
    notes: str = ""

    def __str__(self) -> str:
        return f"{self.execution}#{self.step}" + (f"@{self.notes}" if self.notes else "")


def handle_of(text: str) -> Handle | None:
    """``None`` for a token that never led to one; ``Refused`` for what is neither."""
    found = _HANDLE.fullmatch(text)
    if found:
        return Handle(found.group(1), found.group(2), found.group(3) or "")
    token(text)
    return None


def step_name(component: str) -> str:
    """At most 64 letters, digits, hyphens and underscores."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", component)
    return plain if plain == component and len(plain) <= 64 else f"{plain[:51]}-{digest(component)[:12]}"


def pipeline_name(repository: str, pipeline: str) -> str:
    """One for each pipeline of each repository."""
    return f"refit-{slug(f'{repository}-{pipeline}')[:100]}-{digest(repository, pipeline)[:8]}"


def display_name(commit: str, submission: str) -> str:
    """Letters, digits and hyphens; the same for the same submission, by which it is found again."""
    return f"{commit[:12]}-{slug(submission)[: _MOST_DISPLAYED - 26]}-{digest(submission)[:12]}"


def request_token(submission: str) -> str:
    """What StartPipelineExecution is idempotent by: 64 characters."""
    return digest("refit", submission)


def group_name(model: str) -> str:
    """Of a model package group."""
    return slug(model)[:63].strip("-") or "model"


def tag(text: str) -> str:
    """A tag's value."""
    return re.sub(r"[^A-Za-z0-9 _.:/=+@-]", "-", text)[:256]
