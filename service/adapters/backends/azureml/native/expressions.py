"""Owns the ``${{…}}`` of Azure ML's definitions and which texts name a place outside; refuses to resolve them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from service.adapters.backends.sandbox.values import strings

_NAME = r"[A-Za-z_][\w-]*"
INPUT = re.compile(rf"\$\{{\{{\s*(?:parent\.)?inputs\.({_NAME}(?:\.{_NAME})*)\s*\}}\}}")
JOB = re.compile(rf"\$\{{\{{\s*(?:parent\.)?jobs\.({_NAME})\.outputs\.({_NAME})\s*\}}\}}")
OUTPUT = re.compile(rf"\$\{{\{{\s*(?:parent\.)?outputs\.({_NAME})\s*\}}\}}")
_JOB_ITSELF = re.compile(rf"\$\{{\{{\s*(?:parent\.)?jobs\.({_NAME})\s*\}}\}}")
_URI = re.compile(r"(?<![\w+.-])(?:[a-z][a-z0-9+.-]*://|azureml:)[^\s\"'`,;|)\]}]+", re.IGNORECASE)
_OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*://.|azureml:.", re.IGNORECASE)
_LOCAL = ("file:", "localhost", "http://127.", "http://localhost")
DONE = "done"
"""The output that stands for the mere end of a step."""


def jobs_in(value: Any) -> Iterator[tuple[str, str]]:
    """Every (job, output) that a value reads; a job that is named alone is waited for."""
    for text in strings(value):
        yield from JOB.findall(text)
        for name in _JOB_ITSELF.findall(text):
            yield name, DONE


def places_in(text: str) -> Iterator[str]:
    """Every place outside the repository that a text names: whoever runs may read it."""
    for found in _URI.findall(text):
        if not found.lower().startswith(_LOCAL):
            yield found


def is_outside(text: str) -> bool:
    """Whether a path is a URI or an asset, and no file of the repository, whatever signs follow: ``${{name}}`` among them."""
    return _OUTSIDE.match(text) is not None and not text.lower().startswith("file:")
