"""Owns which vendor's reader answers for a native pipeline; refuses to read one itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.errors import Refused
from service.domain.pipeline import Pipeline
from service.domain.tree import Tree
from service.ports.definitions import Definitions
from service.ports.git_host import Repository


@dataclass(frozen=True)
class EveryVendor:
    """Implements the port by those of the vendors, by the word before the colon of ``uses``."""

    vendors: Mapping[str, Definitions]

    def runs_code(self, pipeline: Pipeline) -> bool:
        return self._of(pipeline).runs_code(pipeline)

    def resolved(self, pipeline: Pipeline, repository: Repository, commit: str, tree: Tree) -> Pipeline:
        return self._of(pipeline).resolved(pipeline, repository, commit, tree)

    def isolation(self) -> str:
        return "; ".join(f"{vendor}: {one.isolation()}" for vendor, one in self.vendors.items())

    def _of(self, pipeline: Pipeline) -> Definitions:
        vendor = pipeline.native.vendor if pipeline.native else ""
        if vendor not in self.vendors:
            raise Refused(f"reading {pipeline.name}: nothing here reads definitions of {vendor or 'no vendor'}")
        return self.vendors[vendor]
