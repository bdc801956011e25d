"""Owns commit → findings: reads trees and facts, keeps neighbours warm, audits itself; refuses to plan or to run.

What is cached can only save work: ``audit`` recomputes from nothing and must agree.
"""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from service.domain.assessment import Assessed, Assessment, assess, reassess
from service.domain.change import Change
from service.domain.closure import kind_of
from service.domain.errors import Refused
from service.domain.facts import VERSION, Fact, Kind, Request, Shelf
from service.domain.impact import Findings
from service.domain.names import EXECUTABLE, REGULAR, short
from service.domain.pipeline import Manifest, Pipeline
from service.domain.reach import Where
from service.domain.tree import Tree
from service.ports.definitions import Definitions
from service.ports.git_host import Repository
from service.ports.reader import Budget, Reader

MANIFEST = "refit.yaml"
BLOB_LIMIT = 1024 * 1024
"""Bytes: a larger source file is not parsed; its bytes count, and the plan says so."""
_NEIGHBOURS = 16
_AT_ONCE, _KEPT_AT_ONCE = 256, 1_024
_FACTS_IN_MEMORY = 200_000
_MANY_FACTS, _GARBAGE = 10_000, 20_000

T = TypeVar("T")


class FactCache(Protocol):
    """Where facts outlive the process."""

    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]: ...

    def put(self, facts: Iterable[tuple[Request, Fact]], version: str) -> None: ...


@dataclass(frozen=True)
class _Known:
    """An assessment that later ones may start from."""

    commit: str
    tree: Tree
    assessment: Assessment


class Assessor:
    """Assesses commits of any repository. Thread-safe."""

    def __init__(
        self, reader: Reader, facts: FactCache, backends: Collection[str], definitions: Definitions | None = None
    ) -> None:
        self.reader = reader
        self._definitions = definitions
        self._cache = facts
        self._backends = backends
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str, str], _Known] = OrderedDict()
        self._latest: dict[str, tuple[str, str, str]] = {}
        self._facts: dict[Request, Fact] = {}
        self._manifests: OrderedDict[str, Manifest] = OrderedDict()
        self._resolved: deque[Manifest] = deque(maxlen=_NEIGHBOURS)

    def findings(
        self,
        name: str,
        repository: Repository,
        head: str,
        base: str | None,
        *,
        manifest_at: str | None = None,
        may_compile: bool = True,
    ) -> Findings:
        """What ``head`` changes against ``base``. Unless it ``may_compile``, the repository's code is not run: a native
        definition that is not known yet is refused. ``manifest_at`` names the commit whose ``refit.yaml`` is believed
        (a fork's pull request: the base branch). Raises ``Refused`` if the head has no usable manifest; a base
        without one simply declared nothing."""
        after, change = self._at(name, repository, head, manifest_at, may_compile)
        before = self._before(name, repository, base, may_compile) if base else None
        if change is None or change.base != base:
            change = repository.compare(base, head)
        return Findings(change, before, after)

    def at(
        self,
        name: str,
        repository: Repository,
        commit: str,
        *,
        manifest_at: str | None = None,
        may_compile: bool = True,
    ) -> Assessment:
        """The assessment of one commit, from the nearest neighbour at hand."""
        return self._at(name, repository, commit, manifest_at, may_compile)[0]

    def _at(
        self, name: str, repository: Repository, commit: str, manifest_at: str | None, may_compile: bool
    ) -> tuple[Assessment, Change | None]:
        """And the change that leads to it from the neighbour, if that had to be asked for."""
        manifest_at = manifest_at or commit
        key = (name, commit, manifest_at)
        with self._lock:
            found = self._known.get(key)
            neighbour = self._known.get(self._latest[name]) if name in self._latest else None
        if found is not None:
            return found.assessment, None
        change = _change_since(repository, neighbour, commit)
        if neighbour is None or change is None:
            tree = repository.tree(commit)
        else:
            tree = neighbour.tree.apply((file.path, file.new) for file in change.files)
        believed = tree if manifest_at == commit else repository.tree(manifest_at)
        manifest = self._resolve(
            repository, manifest_at, believed, is_foreign=manifest_at != commit, may_compile=may_compile
        )
        if neighbour is None or change is None:
            assessment = self._full(repository, manifest, tree).prepared()
            self._settle_down()
        else:
            assessment = self._incremental(repository, neighbour.assessment, change, manifest, tree)
        self._remember(key, _Known(commit, tree, assessment))
        return assessment, change

    def _settle_down(self) -> None:
        """What a large repository was read as stays, and has no cycles: the collector would look through all of it during every
        large push, for longer than deciding it takes."""
        if len(self._facts) > _MANY_FACTS:
            gc.collect()
            gc.freeze()
            gc.set_threshold(_GARBAGE)

    def audit(self, name: str, repository: Repository) -> tuple[Where, ...]:
        """Recompute the latest assessment from nothing: the components that disagree (none, or it is a bug)."""
        with self._lock:
            known = self._known.get(self._latest[name]) if name in self._latest else None
        if known is None:
            return ()
        tree = repository.tree(known.commit)
        manifest = known.assessment.manifest
        truth = self._full(repository, manifest, tree)
        wrong = tuple(
            where
            for where, one in truth.components.items()
            if _decides(known.assessment.components[where]) != _decides(one)
        )
        if wrong:  # never plan from it again
            with self._lock:
                self._known.clear()
                self._latest.clear()
        return wrong

    def manifest(self, repository: Repository, commit: str) -> Manifest:
        """The commit's ``refit.yaml``; ``Refused`` if there is none, ``InvalidManifest`` with all its mistakes."""
        return self._manifest(repository, commit, repository.tree(commit))

    def _resolve(
        self, repository: Repository, commit: str, tree: Tree, *, is_foreign: bool, may_compile: bool
    ) -> Manifest:
        """The manifest with the components of its native pipelines. They are compiled at the commit whose ``refit.yaml`` is
        believed: compiling runs the repository's code, and a fork's is nobody's yet."""
        manifest = self._manifest(repository, commit, tree)
        natives = [pipeline for pipeline in manifest.pipelines if pipeline.native]
        if not natives:
            return manifest
        if not may_compile and (self._definitions is None or any(map(self._definitions.runs_code, natives))):
            raise Refused(
                f"planning {short(commit)}: it is on no branch, and its native definition is code that is run only for what "
                "is; push it to a branch, or open a pull request"
            )
        pipelines = tuple(self._defined(pipeline, repository, commit, tree) for pipeline in manifest.pipelines)
        if is_foreign:
            pipelines = tuple(_with_note(pipeline, commit) for pipeline in pipelines)
        fresh = Manifest(manifest.triggers, pipelines)
        with self._lock:
            known = next((one for one in self._resolved if one == fresh), None)
            if known is None:
                self._resolved.append(fresh)
        return known or fresh

    def _defined(self, pipeline: Pipeline, repository: Repository, commit: str, tree: Tree) -> Pipeline:
        if pipeline.native is None:
            return pipeline
        if self._definitions is None:
            raise Refused(f"compiling {pipeline.native.path}: native definitions are not set up here")
        return self._definitions.resolved(pipeline, repository, commit, tree)

    def _manifest(self, repository: Repository, commit: str, tree: Tree) -> Manifest:
        """The same object for the same bytes: that a push leaves ``refit.yaml`` alone is then seen at a glance."""
        entry = tree.get(MANIFEST)
        if entry is None:
            raise Refused(
                f"reading {MANIFEST} at {short(commit)}: the commit has none; `refit init` writes a first one, then commit it"
            )
        if entry.mode not in (REGULAR, EXECUTABLE):
            raise Refused(f"reading {MANIFEST} at {short(commit)}: it must be a regular file")
        with self._lock:
            known = self._manifests.get(entry.oid)
        if known is not None:
            return known
        content = repository.blobs([entry.oid], BLOB_LIMIT)[entry.oid]
        if content is None:
            raise Refused(f"reading {MANIFEST} at {short(commit)}: it is larger than {BLOB_LIMIT} bytes or unreadable")
        manifest = self.reader.manifest(content, self._backends)
        with self._lock:
            self._manifests[entry.oid] = manifest
            while len(self._manifests) > _NEIGHBOURS:
                self._manifests.popitem(last=False)
        return manifest

    def _before(self, name: str, repository: Repository, base: str, may_compile: bool) -> Assessment | None:
        try:
            return self.at(name, repository, base, may_compile=may_compile)
        except Refused:
            return None

    def _full(self, repository: Repository, manifest: Manifest, tree: Tree) -> Assessment:
        self._recall(tree)
        known: dict[Where, Assessed] = {}
        return self._settled(repository, lambda shelf: assess(manifest, tree, shelf, known))

    def _incremental(
        self, repository: Repository, previous: Assessment, change: Change, manifest: Manifest, tree: Tree
    ) -> Assessment:
        known: dict[Where, Assessed] = {}
        return self._settled(
            repository, lambda shelf: reassess(previous, change, manifest, tree, shelf, known), self._expected(change)
        )

    def _recall(self, tree: Tree) -> None:
        """What a process before this one read of these files, at once: import by import, everything would be traced again
        for each."""
        paths = ((kind, tree.get(path)) for path in tree.under("") if (kind := kind_of(path)) is not None)
        wanted = {(kind, entry.oid) for kind, entry in paths if entry is not None} - self._facts.keys()
        if len(self._facts) + len(wanted) <= _FACTS_IN_MEMORY:
            self._shelve(self._cache.get(wanted, VERSION))

    def _shelve(self, facts: Mapping[Request, Fact]) -> None:
        with self._lock:
            if len(self._facts) > _FACTS_IN_MEMORY:
                self._facts.clear()
            self._facts.update(facts)

    def _expected(self, change: Change) -> set[Request]:
        """What a changed file was read as before, it will be read as again: asked for at once, it saves a round."""
        return {
            (kind, file.new.oid)
            for file in change.files
            if file.old is not None and file.new is not None
            for kind in Kind
            if (kind, file.old.oid) in self._facts and (kind, file.new.oid) not in self._facts
        }

    def _settled(self, repository: Repository, question: Callable[[Shelf], T], expected: Collection[Request] = ()) -> T:
        """Ask until every fact that the answer needs is on the shelf."""
        shelf = Shelf(self._facts, self.reader.globs)
        shelf.wanted.update(expected)
        budget = Budget()
        while True:
            if shelf.wanted:
                facts = self._load(repository, sorted(shelf.wanted), budget)
                shelf.put(facts.items())
                self._shelve(facts)
            answer = question(shelf)
            if not shelf.wanted:
                return answer

    def _load(self, repository: Repository, requests: list[Request], budget: Budget) -> dict[Request, Fact]:
        found = dict(self._cache.get(requests, VERSION))
        missing = [request for request in requests if request not in found]
        if len(missing) > _AT_ONCE:
            repository.prefetch(sorted({oid for _, oid in missing}))
        fresh: list[tuple[Request, Fact]] = []
        for start in range(0, len(missing), _AT_ONCE):  # their contents are in memory together
            some = missing[start : start + _AT_ONCE]
            blobs = repository.blobs(sorted({oid for _, oid in some}), BLOB_LIMIT)
            fresh += self.reader.facts([(request, blobs.get(request[1])) for request in some], budget)
            if len(fresh) >= _KEPT_AT_ONCE or start + _AT_ONCE >= len(missing):
                self._cache.put(fresh, VERSION)
                found.update(fresh)
                fresh = []
        return found

    def _remember(self, key: tuple[str, str, str], known: _Known) -> None:
        with self._lock:
            self._known[key] = known
            self._latest[key[0]] = key
            while len(self._known) > _NEIGHBOURS:
                oldest, _ = self._known.popitem(last=False)
                if self._latest.get(oldest[0]) == oldest:
                    del self._latest[oldest[0]]


def _decides(one: Assessed) -> tuple[object, ...]:
    """All of it that a plan is made from."""
    return one.ingredients, one.ingredients.static_key


def _with_note(pipeline: Pipeline, commit: str) -> Pipeline:
    """What its author must know of a plan that a definition of another commit made."""
    if pipeline.native is None:
        return pipeline
    note = f"the definition is that of {short(commit)}: a fork's is not compiled before it is merged"
    return replace(
        pipeline,
        native=replace(pipeline.native, taken_from=commit),
        components=tuple(
            replace(one, native=replace(one.native, notes=(*one.native.notes, note))) if one.native else one
            for one in pipeline.components
        ),
    )


def _change_since(repository: Repository, neighbour: _Known | None, commit: str) -> Change | None:
    """The way from a neighbour, unless the repository has lost it: a mirror that was made anew has no orphaned commits."""
    if neighbour is None:
        return None
    try:
        return repository.compare(neighbour.commit, commit)
    except Refused:
        repository.commit(commit)  # else it is this one that is not there
        return None
