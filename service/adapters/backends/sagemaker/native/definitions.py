"""Owns the port to native definitions: choosing the SDK, compiling once for what a compile sees, keeping it; refuses to start an
execution."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from service.adapters.backends.sagemaker.native.choosing import places, sdk_of
from service.adapters.backends.sagemaker.native.compiler import Account, Compiled, NativeCompiler, Use, compiled_of
from service.adapters.backends.sagemaker.native.definition import components_of
from service.adapters.backends.sandbox.remembering import Remembered
from service.domain.errors import Refused
from service.domain.names import EXECUTABLE, REGULAR, short
from service.domain.pipeline import Native, Pipeline
from service.domain.tree import Tree
from service.ports.git_host import Repository

_LARGEST = 1024 * 1024


class NativeDefinitions:
    """Implements the port. Thread-safe. ``accounts`` are what the operator's backends say, by their names; without one a
    definition is compiled for nobody's account."""

    def __init__(self, compiler: NativeCompiler, accounts: Mapping[str, Account], folder: Path) -> None:
        self._compiler = compiler
        self._accounts = accounts
        self._remembered = Remembered(folder / "compiled", compiled_of, self._has_uploads)
        self._lock = threading.Lock()
        self._latest: dict[str, Pipeline] = {}

    @property
    def compiles(self) -> int:
        """How often a definition had to be compiled."""
        return self._remembered.compiles

    def runs_code(self, pipeline: Pipeline) -> bool:
        return pipeline.native is not None

    def resolved(self, pipeline: Pipeline, repository: Repository, commit: str, tree: Tree) -> Pipeline:
        native = pipeline.native
        if native is None:
            return pipeline
        with self._lock:
            use = self._use(pipeline.backend, native, repository, commit, tree)
            compiled = self._compiled(use, repository, commit, tree)
            try:
                components = components_of(compiled, tree, use.account, dict(native.hints), native.path)
            except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
                raise Refused(
                    f"compiling {native.path}: its definition is none that SageMaker takes ({type(error).__name__}: {error})"
                ) from error
            found = replace(pipeline, components=components)
            before = self._latest.get(use.text)
            if before == found:
                return before
            self._latest[use.text] = found
            return found

    def compiled(self, pipeline: Pipeline, repository: Repository, commit: str, tree: Tree) -> Compiled:
        """What a backend starts: the definition; the bytes of its uploads lie in ``objects``."""
        if pipeline.native is None:
            raise Refused(f"compiling {pipeline.name}: it has no native definition")
        with self._lock:
            use = self._use(pipeline.backend, pipeline.native, repository, commit, tree)
            return self._compiled(use, repository, commit, tree)

    @property
    def objects(self) -> Path:
        """Where the bytes of uploads lie, by their SHA-256."""
        return self._compiler.objects

    def isolation(self) -> str:
        """How far a repository's code is kept apart on this machine, in words, tried for real."""
        return self._compiler.isolation()

    def _use(self, backend: str, native: Native, repository: Repository, commit: str, tree: Tree) -> Use:
        entry = tree.get(native.path)
        if entry is None or entry.mode not in (REGULAR, EXECUTABLE):
            raise Refused(
                f"compiling {native.path}: it is no file at {short(commit)}; `uses` in refit.yaml names the file that "
                "has get_pipeline()"
            )
        pins = {path: found.oid for path in places(native.path) if (found := tree.get(path)) is not None}
        contents = repository.blobs([entry.oid, *pins.values()], _LARGEST)
        texts = {oid: (content or b"").decode("utf-8", "replace") for oid, content in contents.items()}
        return Use(
            path=native.path,
            sdk=sdk_of(texts[entry.oid], {path: texts[oid] for path, oid in pins.items()}),
            account=self._accounts.get(backend, Account()),
            arguments={name: json.loads(text) for name, text in native.arguments},
        )

    def _compiled(self, use: Use, repository: Repository, commit: str, tree: Tree) -> Compiled:
        return self._remembered.compiled(
            use.text, tree, lambda: self._compiler.compile(use, lambda target: repository.export(commit, target))
        )

    def _has_uploads(self, compiled: Compiled) -> bool:
        return all((self._compiler.objects / upload.sha256).exists() for upload in compiled.uploads)
