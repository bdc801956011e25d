"""On random repositories and random edits, what is decided from the neighbour is what is decided from nothing."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.adapters.reading import IsolatedReader
from service.domain.assessment import Assessment, assess, reassess
from service.domain.change import Change
from service.domain.pipeline import Manifest, RepositoryInput, UriInput
from service.domain.tree import Tree
from tests.builders import Blobs, Commit, Content, Link, empty_shelf, repository, settle
from tests.planning import difference_of
from tests.worlds import DYNAMIC, EFFORT, STATIC, Edit, Module, World, edited, edits, worlds

_COMMANDS = [
    *("jobs/train.py", "python -m a", "python src/b.py", "bash run.sh src/b.py", "make", "nb.ipynb"),
    "python -I a/b.py --conf=params.yaml",
]
_GLOBS = ["a/**", "*.py", "/src", "**/x", "!a/b.py", "extra/*", "data/", "b/[ab].py", "jobs/?.py"]
_INPUTS = ["data", "data/x", "data/l/x", "extra", ".", "gone", "store/x", "sub/file"]
DECLARED = st.fixed_dictionaries(
    {},
    optional={
        "run": st.sampled_from(_COMMANDS),
        "paths": st.lists(st.sampled_from(_GLOBS), max_size=2).map(tuple),
        "ignore": st.lists(st.sampled_from(["*.md", "a/**", "data", "*.py"]), max_size=2).map(tuple),
        "environment": st.just(("requirements.txt",)),
        "params": st.sampled_from([("lr",), ("lr", "seed"), ("params.yaml:",), ("gone.yaml:x",)]),
        "inputs": st.lists(st.sampled_from(_INPUTS), max_size=2).map(
            lambda paths: (
                *((f"i{n}", RepositoryInput(path)) for n, path in enumerate(paths)),
                ("u", UriInput("s3://b/k")),
            )
        ),
    },
)
ODD = st.tuples(
    st.sampled_from(["sub", "a", "data.dvc", "gone.dvc", "more.txt", "src/a.so", "b.pyx", "conf/\udcff.py", "a b.py"]),
    st.sampled_from([Commit("a" * 40), Commit("b" * 40), "outs: [{md5: a}]", "numpy", "pandas  # why", Link("src")]),
)
_STATEMENTS = STATIC | DYNAMIC
_EDIT = edits(_STATEMENTS, DECLARED) | st.tuples(st.just("other"), st.none(), ODD)

Step = tuple[dict[str, Content], Manifest]


class Chain:
    """Commits one after the other, each assessed from the one before."""

    def __init__(self, files: dict[str, Content], manifest: Manifest, reader: IsolatedReader) -> None:
        self.reader = reader
        self.tree, self.blobs = repository(files)
        self.assessment = self.from_nothing(manifest, self.tree)

    def from_nothing(self, manifest: Manifest, tree: Tree) -> Assessment:
        return settle(lambda shelf: assess(manifest, tree, shelf), empty_shelf(), self.blobs, self.reader)

    def follow(self, files: dict[str, Content], manifest: Manifest) -> Assessment:
        """The next commit, from its neighbour; its tree is derived too."""
        tree, blobs = repository(files)
        self.blobs: Blobs = {**self.blobs, **blobs}
        change = difference_of(self.tree, tree)
        derived = self.tree.apply((file.path, file.new) for file in change.files)
        self.assessment = self._incremental(change, manifest, derived)
        self.tree = derived
        return self.from_nothing(manifest, tree)

    def _incremental(self, change: Change, manifest: Manifest, tree: Tree) -> Assessment:
        before = self.assessment
        return settle(
            lambda shelf: reassess(before, change, manifest, tree, shelf), empty_shelf(), self.blobs, self.reader
        )


@settings(
    max_examples=200 * EFFORT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(world=worlds(_STATEMENTS, DECLARED), changes=st.lists(_EDIT, min_size=1, max_size=6))
@example(  # a comment in a file that an opaque command names counts
    world=World({"src/b.py": Module()}, {"x": ""}, declared={"run": "bash run.sh src/b.py", "paths": ("/x",)}),
    changes=[("module", 0, {"comment": "other"})],
)
@example(  # a link that is retargeted, far from what is looked up
    world=World({"jobs/train.py": Module(statements=("import c",), main=True), "a/c.py": Module()}, {"src": Link("a")}),
    changes=[("other", None, ("src", Link("b"))), ("add", "b/c.py", Module())],
)
def test_the_neighbours_answer_is_the_answer_from_nothing(
    world: World, changes: list[Edit], reader: IsolatedReader
) -> None:
    chain = Chain(world.files(), world.manifest(), reader)
    for change in changes:
        world = edited(world, change)
        truth = chain.follow(world.files(), world.manifest())
        assert chain.assessment.components == truth.components, (
            "what it depends on included: the next step builds on it"
        )
        assert chain.assessment.marks == truth.marks
