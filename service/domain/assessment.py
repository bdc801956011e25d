"""Owns which key parts each component has at one commit, in full or from its neighbour; refuses to know past results.

``assess`` is the definition; ``reassess`` must agree with it and costs what the change touches. Both are provisional as
long as the evidence has unmet requests: load those facts and ask again.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from service.domain.change import Change
from service.domain.doubts import notes, uncertain, widest
from service.domain.facts import VERSION, Doubt, Evidence
from service.domain.ingredients import Ingredients
from service.domain.inputs import Reading, read_environment, read_input
from service.domain.links import follow
from service.domain.names import RepoPath, shown
from service.domain.opened import Declared
from service.domain.parameters import Selected, files_of, select
from service.domain.pipeline import Component, Manifest, Pipeline, RepositoryInput, UpstreamInput, UriInput
from service.domain.reach import Index, Where, looks_alike, roots
from service.domain.retrace import Beginning, Edits, Traced, follow_code, with_values
from service.domain.step_key import Part, PartKind, Parts
from service.domain.tree import Tree

_PINNED = re.compile(
    r"azureml:[^:/@]+:[^:/@]+|azureml:/[^?#]*/versions/[^/?#]+"
    r"|[a-z][a-z0-9+.-]*://[^?#]*\?(?:[^#]*&)?versionId=(?!null(?:[&#]|$))[^&#].*"
)


@dataclass(frozen=True, slots=True)
class Assessed:
    """Ingredients, and what they depended on, which drives candidate selection.

    Paths looked up for their meaning (``semantic``) or their bytes (``raw``), misses included; folders whose existence
    was asked; whole ``prefixes``; how far a doubt ``widened`` it (``""``, ``python``, ``all``). ``traced``: what a neighbour
    may start from.
    """

    ingredients: Ingredients
    semantic: frozenset[RepoPath]
    raw: frozenset[RepoPath]
    folders: frozenset[RepoPath]
    prefixes: tuple[str, ...]
    widened: str
    traced: Traced | None = field(default=None, compare=False, repr=False)

    @property
    def component(self) -> Component:
        return self.ingredients.component

    @property
    def parts(self) -> Parts:
        return self.ingredients.parts

    @property
    def globs(self) -> tuple[str, ...]:
        return self.ingredients.component.paths


@dataclass(frozen=True)
class Assessment:
    """Every component of every pipeline at one commit. What is derived of it is taken from the neighbour's if it has one."""

    manifest: Manifest
    components: Mapping[Where, Assessed]
    _index: Index | None = field(default=None, compare=False, repr=False)
    _marks: Mapping[str, str] | None = field(default=None, compare=False, repr=False)

    @cached_property
    def index(self) -> Index:
        """What to ask when files change."""
        return self._index or Index.of(self.components)

    @cached_property
    def marks(self) -> Mapping[str, str]:
        """Pipeline name → a hash of its definition and of all its static keys: two commits with the same mark need the
        same results and are judged by the same gates. ``""`` if no earlier result can be trusted."""
        return self._marks or {pipeline.name: mark(pipeline, self.components) for pipeline in self.manifest.pipelines}

    def prepared(self) -> Assessment:
        """The same, with everything derived that its neighbour's first assessment would otherwise wait for."""
        self.index.inverted()
        _ = self.marks
        return self


Known = MutableMapping[Where, Assessed]
"""What earlier rounds of the same question have computed for good."""


def assess(manifest: Manifest, tree: Tree, evidence: Evidence, known: Known | None = None) -> Assessment:
    """The full computation, from nothing. Asked again with the same ``known``, it goes on where facts were missing."""
    known = {} if known is None else known
    return Assessment(
        manifest,
        {
            (pipeline.name, component.name): _settled(pipeline, component, tree, evidence, known)
            for pipeline in manifest.pipelines
            for component in pipeline.components
        },
    )


def reassess(
    previous: Assessment,
    change: Change,
    manifest: Manifest,
    tree: Tree,
    evidence: Evidence,
    known: Known | None = None,
) -> Assessment:
    """The same answer as ``assess`` from the neighbour's: only the components that ``change`` can touch are computed.

    ``change`` leads from the tree of ``previous`` to ``tree``.
    """
    known = {} if known is None else known
    edits = Edits(change, evidence)
    missing = evidence.misses
    touched = previous.index.candidates(change, evidence)
    if evidence.misses != missing:
        return previous  # provisional: with these facts, far fewer may be touched
    alone = {pipeline for pipeline, _ in touched} if manifest is previous.manifest else None
    components = dict(previous.components) if alone is not None else {}
    marks = dict(previous.marks) if alone is not None else {}
    moved: dict[Where, Assessed | None] = {}
    for pipeline in manifest.pipelines:
        if alone is not None and pipeline.name not in alone:
            continue
        before = previous.manifest.pipeline(pipeline.name)
        alike = before is not None and (before.environment, before.ignore) == (pipeline.environment, pipeline.ignore)
        fresh = {
            where: _settled(
                pipeline,
                component,
                tree,
                evidence,
                known,
                edits,
                previous.components.get(where),
                as_declared=alone is not None,
            )
            for component in pipeline.components
            if (where := (pipeline.name, component.name)) in touched
            or not alike
            or where not in previous.components
            or previous.components[where].component != component
        }
        for component in pipeline.components:
            where = (pipeline.name, component.name)
            components[where] = fresh[where] if where in fresh else previous.components[where]
        if fresh or pipeline != before:
            marks[pipeline.name] = mark(pipeline, components)
        else:
            marks[pipeline.name] = previous.marks[pipeline.name]
        moved |= {where: one for where, one in fresh.items() if not looks_alike(one, previous.components.get(where))}
    if alone is None:
        moved |= dict.fromkeys(previous.components.keys() - components.keys())
    return Assessment(manifest, components, previous.index.replaced(moved), marks)


def mark(pipeline: Pipeline, components: Mapping[Where, Assessed]) -> str:
    """One of :attr:`Assessment.marks`."""
    made_of = [components[pipeline.name, component.name].ingredients for component in pipeline.components]
    if any(one.unknowable for one in made_of):
        return ""
    text = "\0".join((pipeline.text, *(one.static_key for one in made_of)))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def _settled(
    pipeline: Pipeline,
    component: Component,
    tree: Tree,
    evidence: Evidence,
    known: Known,
    edits: Edits | None = None,
    before: Assessed | None = None,
    *,
    as_declared: bool = False,
) -> Assessed:
    """One component, remembered once no fact was missing for it. ``as_declared``: its pipeline is what it was ``before``."""
    where = (pipeline.name, component.name)
    if where in known:
        return known[where]
    missing = evidence.misses
    one = _edited(before, edits) if as_declared and before is not None and edits is not None else None
    one = one or assess_component(pipeline, component, tree, evidence, edits, before)
    if evidence.misses == missing:
        known[where] = one
    return one


def _edited(before: Assessed, edits: Edits) -> Assessed | None:
    """The component where nothing but the code that it follows has changed, and leads where it led: other values for the same
    parts. ``None``: it is to be assessed anew. ``assess_component`` stays the definition: this must agree with it."""
    component, traced = before.component, before.traced
    if traced is None or before.widened or before.prefixes or component.paths or component.native:
        return None
    values = edits.values(traced.closure) if not edits.touch(before.raw) else None
    if not values:
        return before if values is not None else None
    ingredients = before.ingredients.with_files(values)
    return replace(
        before, ingredients=ingredients, traced=Traced(traced.beginning, with_values(traced.closure, values))
    )


MANIFEST = "refit.yaml"


def assess_component(
    pipeline: Pipeline,
    component: Component,
    tree: Tree,
    evidence: Evidence,
    edits: Edits | None = None,
    before: Assessed | None = None,
) -> Assessed:
    """Key parts of one component; see :class:`Assessed`. ``before``: what it was in a neighbour's tree, from which ``edits``
    lead to ``tree``."""
    extra, linked = _extra(pipeline, component, tree, evidence)
    chosen = select(component.params, tree, evidence)
    code = (*extra, *_shipped(pipeline, component, evidence))
    root = component.native.root if component.native else None
    beginning = Beginning(component.run, code, chosen.targets, _declared(pipeline, component, chosen), root)
    traced = follow_code(beginning, tree, evidence, edits, before.traced if before else None)
    closure = traced.closure
    environment = [read_environment(path, tree, evidence) for path in pipeline.environment]
    inputs = [
        (name, read_input(source.path, tree, evidence))
        for name, source in component.inputs
        if isinstance(source, RepositoryInput)
    ]
    doubts = [*closure.doubts, *chosen.doubts, *(d for reading in environment for d in reading.doubts)]
    doubts += [d for _, reading in inputs for d in reading.doubts]
    doubts += [(MANIFEST, doubt) for doubt in _unmatched(component, extra, evidence)]
    widened = widest(doubts, declared=bool(extra))
    uris = [source.uri for _, source in component.inputs if isinstance(source, UriInput) and not is_pinned(source.uri)]
    parts = [Part(PartKind.ALGORITHM, "", VERSION), *_declaration(component, chosen)]
    declared = {*extra, *(follow(path, tree, evidence).path for path in extra), *closure.opened}
    parts += [
        Part(PartKind.PATH if path in declared else PartKind.SOURCE, path, value) for path, value in closure.files
    ]
    parts += [Part(PartKind.SOURCE, f"{folder}/", "a package without __init__.py") for folder in closure.namespaces]
    parts += [Part(PartKind.PARAMETER, subject, value) for subject, value in chosen.values]
    parts += [Part(PartKind.ENVIRONMENT, path, value) for read in environment for path, value in read.values]
    parts += [Part(PartKind.INPUT, name, _one(reading)) for name, reading in inputs]
    parts += uncertain(doubts, widened, pipeline, component, tree, evidence)
    return Assessed(
        Ingredients(
            component=component,
            parts=tuple(sorted(set(parts))),
            flags=chosen.flags,
            notes=tuple(dict.fromkeys(notes(component, doubts, bool(extra)))),
            unknowable=(
                *(f"the version of {shown(uri)} cannot be resolved" for uri in uris),
                *(component.native.always if component.native else ()),
            ),
        ),
        semantic=closure.looked_up.union(code) if code else closure.looked_up,
        raw=frozenset().union(
            closure.by_bytes,
            chosen.looked_up,
            *(r.looked_up for r in environment),
            *(reading.looked_up for _, reading in inputs),
        ),
        folders=closure.folders,
        prefixes=(
            *linked,
            *closure.prefixes,
            *(p for read in (*environment, *(r for _, r in inputs)) for p in read.prefixes),
        ),
        widened=widened,
        traced=traced,
    )


def _declared(pipeline: Pipeline, component: Component, chosen: Selected) -> Declared:
    """What a component says of the files that its code opens: they count as declared, or are made by the pipeline."""
    sources = [source.path for _, source in component.inputs if isinstance(source, RepositoryInput)]
    made = [one.metrics for one in pipeline.components if one.metrics]
    paths = frozenset(map(posixpath.normpath, (*sources, *made, *pipeline.environment))) | files_of(component.params)
    given = (*(name for name, _ in component.inputs), *component.products, *(name for name, _ in chosen.flags))
    return Declared(paths, frozenset(given))


def is_pinned(uri: str) -> bool:
    """Whether a URI names one version for ever (``?versionId=…``, ``azureml:name:3``, ``azureml://…/versions/3``); S3's version
    ``null`` does not."""
    return _PINNED.fullmatch(uri) is not None


def _declaration(component: Component, chosen: Selected) -> Iterator[Part]:
    """The order of ``params`` counts only where it decides which of two parameters gets the short flag."""
    params = component.params if chosen.clash else sorted(component.params)

    def text(value: object) -> str:
        return json.dumps(value, ensure_ascii=True, separators=(",", ":"))

    yield Part(PartKind.DECLARATION, "run", component.run)
    yield Part(PartKind.DECLARATION, "outputs", text(sorted(component.outputs)))
    yield Part(PartKind.DECLARATION, "params", text(params))
    if component.metrics:
        yield Part(PartKind.DECLARATION, "metrics", component.metrics)
    for name, source in component.inputs:
        match source:
            case RepositoryInput(path=path):
                yield Part(PartKind.DECLARATION, f"inputs.{name}", path)
            case UriInput(uri=uri):
                yield Part(PartKind.DECLARATION, f"inputs.{name}", uri)
            case UpstreamInput(component=upstream, output=output):
                yield Part(PartKind.DECLARATION, f"inputs.{name}", f"{upstream}.{output}")
    for name, value in component.settings:
        if component.native:  # it says its own name: nobody wrote it into refit.yaml
            yield Part(PartKind.PARAMETER, name, value)
        else:
            yield Part(PartKind.DECLARATION, f"with.{name}", value)


def _shipped(pipeline: Pipeline, component: Component, evidence: Evidence) -> tuple[RepoPath, ...]:
    """Files that a native step's container gets and that count whatever imports them: all but Python, whose imports say what
    is used; all of them where no script is known to start. ``ignore`` prunes what is not Python."""
    if component.native is None:
        return ()
    ignored, starts = evidence.matcher(pipeline.ignore), frozenset(component.native.starts)

    def counts(path: RepoPath) -> bool:
        if path.endswith(".py"):
            return not component.run or path in starts
        return not (pipeline.ignore and ignored(path))

    return tuple(path for path in component.native.ships if counts(path))


def _extra(
    pipeline: Pipeline, component: Component, tree: Tree, evidence: Evidence
) -> tuple[tuple[RepoPath, ...], tuple[str, ...]]:
    """Files that the component's ``paths`` globs name, also below linked folders, and the folders that these links lead
    to; ``ignore`` prunes the files, and nothing else. A submodule that a glob may look into counts itself."""
    if not component.paths:
        return (), ()
    wanted, ignored = evidence.matcher(component.paths), evidence.matcher(pipeline.ignore)

    def counts(path: RepoPath) -> bool:
        return wanted(path) and not (pipeline.ignore and ignored(path))

    starts = roots(component.paths)
    found = {path for start in starts for path in tree.under(start) if counts(path)}
    linked = []
    for link in sorted(tree.links):
        if not any(start.startswith(link) or f"{link}/".startswith(start) for start in starts):
            continue
        place = follow(link, tree, evidence)
        if place.path is None:
            found |= {link} if not (pipeline.ignore and ignored(link)) else set()
        else:  # a folder, or what may become one
            folder = f"{place.path}/" if place.path else ""
            linked.append(folder)
            below = (f"{link}/{path.removeprefix(folder)}" for path in tree.under(folder))
            found |= {path for path in below if counts(path)}
    return tuple(sorted(found)), tuple(linked)


def _unmatched(component: Component, extra: tuple[RepoPath, ...], evidence: Evidence) -> Iterator[Doubt]:
    """A pattern that names nothing declares nothing: it may be misspelt."""
    for pattern in component.paths:
        if not pattern.startswith("!") and not any(map(evidence.matcher((pattern,)), extra)):
            yield Doubt(f"`paths` of {component.name}: no file that is not ignored matches {shown(pattern)}")


def _one(reading: Reading) -> str:
    return reading.values[0][1]
