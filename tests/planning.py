"""Owns commits that are assessed in memory and pasts in which their steps succeeded; refuses git and a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.domain.assessment import Assessed, Assessment, assess, reassess
from service.domain.change import Change, FileChange
from service.domain.ingredients import Ingredients
from service.domain.pipeline import Component, Manifest, Pipeline, RepositoryInput, Triggers, UpstreamInput
from service.domain.plan import History, Result, full_key, full_parts
from service.domain.step_key import Part, PartKind
from service.domain.tree import Tree
from service.ports.reader import Reader
from tests.builders import Blobs, Content, empty_shelf, repository, settle

PREPROCESS = Component("preprocess", "prep.py", inputs=(("raw", RepositoryInput("d.csv")),), outputs=("train", "test"))
TRAIN = Component("train", "train.py", inputs=(("data", UpstreamInput("preprocess", "train")),), outputs=("model",))
EVALUATE = Component(
    "evaluate",
    "evaluate.py",
    inputs=(("model", UpstreamInput("train", "model")), ("data", UpstreamInput("preprocess", "test"))),
    metrics="metrics.json",
)
DIAMONDS = Pipeline("diamonds", "local", (PREPROCESS, TRAIN, EVALUATE))

Outputs = Mapping[tuple[str, str], str]


# without files: a component is its script's version -------------------------------------------------------------------


def ingredients(component: Component, version: str = "1", *, unknowable: Sequence[str] = ()) -> Ingredients:
    """What a component is made of when only the ``version`` of its script matters."""
    parts = (Part(PartKind.ALGORITHM, "", "now"), Part(PartKind.SOURCE, component.run, version))
    return Ingredients(component, parts, unknowable=tuple(unknowable))


def commit(
    pipeline: Pipeline = DIAMONDS, *, unknowable: Mapping[str, Sequence[str]] | None = None, **versions: str
) -> Assessment:
    """An assessed commit; ``versions`` by component, all of them ``1`` unless said otherwise."""
    components = {
        (pipeline.name, one.name): Assessed(
            ingredients(one, versions.get(one.name, "1"), unknowable=(unknowable or {}).get(one.name, ())),
            frozenset(), frozenset(), frozenset(), (), "",
        )
        for one in pipeline.components
    }  # fmt: skip
    return Assessment(Manifest(Triggers(), (pipeline,)), components)


def content(component: str, output: str, version: str = "1") -> str:
    """The digest of what a component makes; what it makes of version 1 unless said otherwise."""
    return f"sha256:{component}.{output}@{version}"


def result(made: Ingredients, read: Outputs | None = None, *, version: str = "1", execution: str = "exec-1") -> Result:
    """A successful run; ``version`` tells its outputs apart."""
    component = made.component
    return Result(
        id=f"{execution}.{component.name}.1",
        component=component.name,
        key=full_key(made.static_key, component, read or {}),
        static_key=made.static_key,
        parts=full_parts(made.parts, component, read or {}),
        outputs={name: content(component.name, name, version) for name in component.products},
        execution=execution,
        commit="c" * 40,
        seconds=10.0,
    )


def read_by(component: Component, results: Mapping[str, Result]) -> Outputs:
    """What a component reads of these results."""
    sources = [source for _, source in component.inputs if isinstance(source, UpstreamInput)]
    return {(s.component, s.output): results[s.component].outputs[s.output] for s in sources}


def past(assessment: Assessment, *, execution: str = "exec-1", **versions: str) -> History:
    """Everything at this commit has succeeded; ``versions`` of what each component made."""
    results: dict[str, Result] = {}
    for (_, name), one in assessment.components.items():
        read = read_by(one.component, results)
        results[name] = result(one.ingredients, read, version=versions.get(name, "1"), execution=execution)
    return History(tuple(results.values()), results)


# with files: the real assessment --------------------------------------------------------------------------------------


def manifest(*pipelines: Pipeline) -> Manifest:
    return Manifest(Triggers(), pipelines)


def single(run: str, **declared: object) -> Manifest:
    """One pipeline ``p`` with one component ``train``; ``environment`` and ``ignore`` go to the pipeline."""
    shared = {name: declared.pop(name) for name in ("environment", "ignore") if name in declared}
    return manifest(Pipeline("p", "local", (Component("train", run, **declared),), **shared))  # type: ignore[arg-type]


def assessed(declared: Manifest, files: Mapping[str, Content], reader: Reader) -> Assessment:
    """The full assessment of a tree of ``files``."""
    tree, blobs = repository(files)
    return settle(lambda shelf: assess(declared, tree, shelf), empty_shelf(), blobs, reader)


def reassessed(
    previous: Assessment, old: Mapping[str, Content], declared: Manifest, new: Mapping[str, Content], reader: Reader
) -> Assessment:
    """The assessment of ``new`` from its neighbour's, whose files were ``old``."""
    (before, old_blobs), (after, blobs) = repository(old), repository(new)
    change = difference_of(before, after)
    tree = before.apply((file.path, file.new) for file in change.files)
    known: Blobs = {**old_blobs, **blobs}
    return settle(lambda shelf: reassess(previous, change, declared, tree, shelf), empty_shelf(), known, reader)


def difference_of(before: Tree, after: Tree) -> Change:
    """The change from one tree to the other, as git would tell it."""
    paths = sorted({*before.under(""), *after.under("")})
    changed = [FileChange(path, before.get(path), after.get(path)) for path in paths]
    return Change("b" * 40, "a" * 40, tuple(one for one in changed if one.old != one.new))


def part_values(
    assessment: Assessment, kind: PartKind, pipeline: str = "p", component: str = "train"
) -> dict[str, str]:
    """Subject → value of one kind of a component's key parts."""
    parts = assessment.components[pipeline, component].parts
    return {part.subject: part.value for part in parts if part.kind is kind}
