"""Owns the port to whoever reads a pipeline that a repository declares in a vendor's own terms; refuses to run steps."""

from __future__ import annotations

from typing import Protocol

from service.domain.pipeline import Pipeline
from service.domain.tree import Tree
from service.ports.git_host import Repository


class Definitions(Protocol):
    """May run the repository's own code, in a sandbox: only for commits whose refit.yaml is believed."""

    def runs_code(self, pipeline: Pipeline) -> bool:
        """Whether its definition is code; one that is data is read like any file."""
        ...

    def isolation(self) -> str:
        """Which of three it is on this machine, in words, tried for real: a repository's code is kept apart, or refused, or
        exposed by the operator's word."""
        ...

    def resolved(self, pipeline: Pipeline, repository: Repository, commit: str, tree: Tree) -> Pipeline:
        """The pipeline with the components that its native definition has at ``commit``, whose files are ``tree``; an equal
        definition gives the same object again. ``Refused`` says why it does not compile, in its own last words; ``Retry``
        if the vendor's SDK cannot be had now."""
        ...
