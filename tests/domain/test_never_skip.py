"""On random repositories and random edits, a step that is reused would have done the very same: the interpreter, which
knows nothing of Refit's reading, runs both commits and tells."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.adapters.backends.steps.commands import Unrunnable, arguments
from service.adapters.reading import IsolatedReader
from service.domain.assessment import Assessment
from service.domain.ingredients import Ingredients
from service.domain.pipeline import RepositoryInput
from service.domain.plan import Decision, Plan, make_plan, presumed
from tests.builders import Content, Link, Program
from tests.planning import assessed
from tests.worlds import DYNAMIC, EFFORT, STATIC, Edit, Module, World, edited, edits, worlds

DECLARED = st.fixed_dictionaries(
    {},
    optional={
        "run": st.sampled_from(["jobs/train.py", "python src/b.py --lr ${{params.lr}}", "bash run.sh", "python jobs"]),
        "ignore": st.just(("*.md",)),
        "params": st.sampled_from([("lr",), ("lr", "seed"), ("params.yaml:",), ("gone",)]),
        "inputs": st.lists(st.sampled_from(["data", "data/x", "data/l/x", "extra", "store/x", "gone"]), max_size=2).map(
            lambda paths: tuple((f"i{n}", RepositoryInput(path)) for n, path in enumerate(paths))
        ),
    },
)
"""Without ``paths``, by which users take it on themselves to name what cannot be seen."""

_STATEMENTS = STATIC | DYNAMIC


# the oracle -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a run did: how it ended, what it printed, and what every repository file that it opened means to Python."""

    code: int
    printed: str
    opened: frozenset[tuple[str, str]]


def write(root: Path, files: Mapping[str, Content]) -> None:
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            target.symlink_to(content)
        else:
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
            target.chmod(0o755 if isinstance(content, Program) else 0o644)


def run(files: Mapping[str, Content], made_of: Ingredients) -> Outcome:
    """Carry one step out as the local runner does, in a clean export."""
    component = made_of.component
    with TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "work"
        write(root, files)
        inputs = {name: getattr(source, "path", "upstream") for name, source in component.inputs}
        outputs = dict.fromkeys(component.outputs, "/nonexistent/out")
        trace = root.parent / "trace"
        roots = [str(root), *([str(root / "src")] if (root / "src").is_dir() else [])]
        try:
            command = arguments(component.run, Path(sys.executable), inputs, outputs, made_of.flags, root)
        except Unrunnable as refusal:
            return Outcome(-1, str(refusal), frozenset())
        done = subprocess.run(
            command,
            cwd=root,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
                "PYTHONPATH": os.pathsep.join(roots),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONHASHSEED": "0",
                "TRACE": str(trace),
            },
            capture_output=True,
            text=True,
            timeout=60,
        )
        names = set(trace.read_text().splitlines()) if trace.exists() else set()
        return Outcome(done.returncode, done.stdout.replace(str(root), "."), frozenset(meanings(root, names)))


def meanings(root: Path, names: set[str]) -> set[tuple[str, str]]:
    """Repository files by what they mean: Python without comments, and without docstrings where nobody looks at one."""
    texts: dict[str, bytes] = {}
    for name in names:
        path = (root / name).resolve()
        if path.is_file() and path.is_relative_to(root) and path.suffix != ".ipynb":
            texts[path.relative_to(root).as_posix()] = path.read_bytes()
    seen = any(b"__doc__" in text for text in texts.values())
    return {
        (path, meaning(text, docstrings=seen) if path.endswith(".py") else digest(text)) for path, text in texts.items()
    }


def digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def meaning(text: bytes, *, docstrings: bool) -> str:
    tree = ast.parse(text)
    if not docstrings and ast.get_docstring(tree) is not None:
        tree.body = tree.body[1:]
    return digest(ast.dump(tree).encode())


# the property ---------------------------------------------------------------------------------------------------------


def planned(base: Assessment, head: Assessment) -> Plan:
    (pipeline,) = head.manifest.pipelines
    return make_plan(pipeline, head, presumed(pipeline, base), base="b" * 40, head="a" * 40, before=base)


def told(old: Mapping[str, Content], new: Mapping[str, Content]) -> dict[str, tuple[object, object]]:
    """What differs between two repositories."""
    return {path: (old.get(path), new.get(path)) for path in {*old, *new} if old.get(path) != new.get(path)}


def check(old: World, new: World, reader: IsolatedReader) -> None:
    before = assessed(old.manifest(), old.files(), reader)
    after = assessed(new.manifest(), new.files(), reader)
    for step in planned(before, after).steps:
        if step.decision is Decision.REUSE:
            here = ("p", step.component.name)
            was = run(old.files(), before.components[here].ingredients)
            now = run(new.files(), after.components[here].ingredients)
            assert now == was, f"{step.component.name} was to be reused: {told(old.files(), new.files())}"


@settings(
    max_examples=120 * EFFORT,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(world=worlds(_STATEMENTS, DECLARED), changes=st.lists(edits(_STATEMENTS, DECLARED), min_size=1, max_size=3))
@example(  # the same value, given to the step as another text
    world=World({"src/b.py": Module(main=True)}, {}, declared={"run": "src/b.py", "params": ("lr",)}),
    changes=[("params", "", ("0.10", "7", "1"))],
)
@example(  # what a link inside an input folder leads to
    world=World({"jobs/train.py": Module(main=True)}, {"data/l": Link("../store"), "store/x": "1"}),
    changes=[("other", None, ("store/x", "2"))],
)
@example(  # a folder that is run and holds no __main__.py: the interpreter fails in another way once it is gone
    world=World({"jobs/c.py": Module()}, {}, declared={"run": "python jobs"}),
    changes=[("delete", 0, None)],
)
def test_a_step_that_is_reused_would_have_done_the_same(
    world: World, changes: list[Edit], reader: IsolatedReader
) -> None:
    after = world
    for change in changes:
        after = edited(after, change)
    check(world, after, reader)


def test_the_oracle_sees_what_a_step_does(reader: IsolatedReader) -> None:
    """The property above holds of an oracle that sees nothing; this one does not hold of such an oracle."""
    world = World(
        {"jobs/train.py": Module(1, ("import a",), main=True), "a.py": Module(2)},
        {"data/x": "3"},
        declared={"params": ("lr",), "inputs": (("raw", RepositoryInput("data")),)},
    )
    made_of = assessed(world.manifest(), world.files(), reader).components["p", "script"].ingredients
    outcome = run(world.files(), made_of)
    assert outcome.code == 0
    words = "--raw data data x 3 --model /nonexistent/out --lr 0.1 2 1"
    assert outcome.printed.split() == words.split()
    assert {path for path, _ in outcome.opened} == {"jobs/train.py", "a.py", "data/x"}
    for edit in [("module", 0, {"number": 0}), ("module", 1, {"number": 0}), ("other", None, ("data/x", "4"))]:
        assert run(edited(world, edit).files(), made_of) != outcome
    for edit in [
        ("module", 0, {"comment": "x"}),
        ("module", 1, {"docstring": "x"}),
        ("other", None, ("README.md", "x")),
    ]:
        assert run(edited(world, edit).files(), made_of) == outcome


def test_most_edits_leave_something_to_reuse(reader: IsolatedReader) -> None:
    """Always running everything would satisfy the property too."""
    world = World(
        {"jobs/train.py": Module(1, ("import a",), main=True), "a.py": Module(2), "c.py": Module()}, {"data/x": "3"}
    )
    base = assessed(world.manifest(), world.files(), reader)
    for edit, names in {
        ("module", 0, "comment"): {"script", "module", "notebook", "after"},
        ("module", 1, "number"): {"script", "module", "notebook", "after"},
        ("module", 0, "number"): set(),
        ("module", 2, "number"): {"notebook"},
        ("params", "", "seed"): {"script", "notebook", "after"},
    }.items():
        what, where, field = edit
        new = ("0.1", "8", "1") if field == "seed" else {field: "x" if field == "comment" else 9}
        other = edited(world, (what, where, new))
        plan = planned(base, assessed(other.manifest(), other.files(), reader))
        assert {step.component.name for step in plan.steps if step.decision is Decision.REUSE} == names, edit
