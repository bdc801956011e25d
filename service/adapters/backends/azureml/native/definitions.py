"""Owns the port to native definitions of Azure ML: YAML is read as it is, a module is compiled to the same form first; refuses to
start a job."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from service.adapters.backends.azureml.native.definition import components_of
from service.adapters.backends.azureml.native.jobs import jobs_of
from service.adapters.backends.azureml.native.scopes import Job
from service.adapters.backends.azureml.native.sources import Sources, Where, documents, refused
from service.domain.errors import Refused
from service.domain.names import EXECUTABLE, REGULAR, short
from service.domain.pipeline import Native, Pipeline
from service.domain.tree import Tree
from service.ports.git_host import Repository
from service.ports.reader import Reader


class Converted(Protocol):
    """A module's pipeline as a document, and the same compiled at another time; its paths start from the repository's root."""

    @property
    def document(self) -> Mapping[str, Any]: ...

    @property
    def again(self) -> Mapping[str, Any]: ...


class Converter(Protocol):
    """Runs a repository's module, in a sandbox."""

    def converted(
        self, path: str, arguments: Mapping[str, Any], repository: Repository, commit: str, tree: Tree
    ) -> Converted: ...

    def isolation(self) -> str: ...


@dataclass(frozen=True)
class Read:
    """A definition at one commit: the document, its jobs with those of pipelines inside it, and the commit's files."""

    document: Mapping[str, Any]
    jobs: tuple[Job, ...]
    sources: Sources


class NativeDefinitions:
    """Implements the port. Thread-safe."""

    def __init__(self, reader: Reader, converter: Converter) -> None:
        self._reader = reader
        self._converter = converter
        self._lock = threading.Lock()
        self._documents = documents()
        self._latest: dict[tuple[str, Native], Pipeline] = {}

    def runs_code(self, pipeline: Pipeline) -> bool:
        return pipeline.native is not None and ":" in pipeline.native.path

    def resolved(self, pipeline: Pipeline, repository: Repository, commit: str, tree: Tree) -> Pipeline:
        native = pipeline.native
        if native is None:
            return pipeline
        with self._lock:
            try:
                components = self._components(native, repository, commit, tree)
            except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
                raise Refused(
                    f"reading {native.path}: it is no pipeline that Azure ML takes ({type(error).__name__}: {error})"
                ) from error
            found = replace(pipeline, components=components)
            before = self._latest.get((pipeline.name, native))
            if before == found:
                return before
            self._latest[pipeline.name, native] = found
            return found

    def isolation(self) -> str:
        """How far a repository's code is kept apart on this machine, in words, tried for real."""
        return self._converter.isolation()

    def read(self, native: Native, repository: Repository, commit: str) -> Read:
        """What a backend starts."""
        with self._lock:
            sources = Sources(self._reader, repository, repository.tree(commit), self._documents)
            document, _, where = self._document(native, sources, repository, commit)
            arguments = {} if ":" in native.path else _arguments(native)
            return Read(document, jobs_of(document, where, sources, arguments), sources)

    def _components(self, native: Native, repository: Repository, commit: str, tree: Tree) -> Any:
        sources = Sources(self._reader, repository, tree, self._documents)
        document, again, where = self._document(native, sources, repository, commit)
        arguments = {} if ":" in native.path else _arguments(native)  # a module's function has had them
        return components_of(document, where, sources, dict(native.hints), arguments, again)

    def _document(
        self, native: Native, sources: Sources, repository: Repository, commit: str
    ) -> tuple[Mapping[str, Any], Mapping[str, Any] | None, Where]:
        path, _, function = native.path.partition(":")
        entry = sources.tree.get(path)
        if entry is None or entry.mode not in (REGULAR, EXECUTABLE):
            raise Refused(
                f"reading {path}: it is no file at {short(commit)}; `uses` in refit.yaml names a pipeline.yml, or a module "
                "and its function"
            )
        if not function:
            where = Where(path, path.rpartition("/")[0])
            return sources.document(path, where), None, where
        found = self._converter.converted(native.path, _arguments(native), repository, commit, sources.tree)
        where = Where(native.path, "")
        if not isinstance(found.document.get("jobs"), Mapping):
            raise refused(where, f"{function}() gives no pipeline")
        return found.document, found.again, where


def _arguments(native: Native) -> dict[str, Any]:
    return {name: json.loads(text) for name, text in native.arguments}
