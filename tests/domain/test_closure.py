"""Which files a command can reach: one test for each trap, named after it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.closure import Closure, trace
from tests.builders import Commit, Content, Link, Program, empty_shelf, repository, settle

Traced = Callable[..., Closure]


@pytest.fixture
def traced(reader: IsolatedReader) -> Traced:
    def of(
        files: Mapping[str, Content], command: str, extra: Iterable[str] = (), targets: Iterable[str] = ()
    ) -> Closure:
        tree, blobs = repository(files)
        extra, targets = tuple(extra), tuple(targets)
        return settle(lambda shelf: trace(command, extra, targets, tree, shelf), empty_shelf(), blobs, reader)

    return of


def paths(closure: Closure) -> set[str]:
    return {path for path, _ in closure.files}


def doubts(closure: Closure) -> set[tuple[str, str]]:
    """(what, widen) of every doubt."""
    return {(doubt.what, doubt.widen) for _, doubt in closure.doubts}


# trap 1 ---------------------------------------------------------------------------------------------------------------


def test_the_scripts_folder_beats_the_repository_root(traced: Traced) -> None:
    files = {"src/train.py": "import utils", "src/utils.py": "", "utils.py": "x = 1"}
    assert paths(traced(files, "src/train.py")) == {"src/train.py", "src/utils.py"}
    assert paths(traced(files, "python -m src.train")) == {"src/train.py", "utils.py"}


# trap 2 ---------------------------------------------------------------------------------------------------------------


def test_a_new_file_that_shadows_a_package_was_looked_up_before_it_existed(traced: Traced) -> None:
    before = traced({"jobs/train.py": "import json, numpy.random"}, "jobs/train.py")
    for shadow in ("jobs/numpy.py", "numpy.py", "jobs/json.py", "sitecustomize.py", "usercustomize.py"):
        assert shadow in before.looked_up
    assert {"numpy", "jobs/numpy", "src"} <= before.folders
    after = traced({"jobs/train.py": "import json, numpy.random", "numpy/__init__.py": ""}, "jobs/train.py")
    assert "numpy/__init__.py" in paths(after)


def test_sitecustomize_on_the_path_is_code_of_every_step(traced: Traced) -> None:
    files = {"jobs/train.py": "", "src/sitecustomize.py": "import patches", "patches.py": ""}
    assert paths(traced(files, "jobs/train.py")) == {"jobs/train.py", "src/sitecustomize.py", "patches.py"}


# trap 3 ---------------------------------------------------------------------------------------------------------------


def test_parents_init_files_and_their_imports(traced: Traced) -> None:
    files = {
        "train.py": "import a.b.c",
        "a/__init__.py": "import side",
        "a/b/__init__.py": "from . import helper",
        "a/b/c.py": "",
        "a/b/helper.py": "",
        "side.py": "",
        "unrelated.py": "",
    }
    assert paths(traced(files, "train.py")) == set(files) - {"unrelated.py"}


# trap 4 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "reached"),
    [
        ("from pkg import sub", {"pkg/sub.py"}),
        ("from pkg import sub as s, other", {"pkg/sub.py", "pkg/other.py"}),
        ("from pkg.inner import deep", {"pkg/inner/__init__.py", "pkg/inner/deep.py", "pkg/other.py"}),
        ("from pkg import *", {"pkg/other.py"}),
        ("from pkg.inner import deep as d", {"pkg/inner/__init__.py", "pkg/inner/deep.py", "pkg/other.py"}),
    ],
)
def test_from_package_import_submodule_relative_and_star(traced: Traced, statement: str, reached: set[str]) -> None:
    files = {
        "train.py": statement,
        "pkg/__init__.py": "__all__ = ['other']",
        "pkg/sub.py": "",
        "pkg/other.py": "",
        "pkg/inner/__init__.py": "",
        "pkg/inner/deep.py": "from .. import other",
    }
    assert paths(traced(files, "train.py")) == {"train.py", "pkg/__init__.py"} | reached


def test_star_with_a_computed_all_takes_every_submodule_and_notices_new_ones(traced: Traced) -> None:
    files = {"train.py": "from pkg import *", "pkg/__init__.py": "__all__ = names()", "pkg/a.py": "", "pkg/b/c.py": ""}
    closure = traced(files, "train.py")
    assert paths(closure) == {"train.py", "pkg/__init__.py", "pkg/a.py"}
    assert "pkg" in closure.folders
    assert not closure.doubts


def test_a_computed_all_costs_nothing_without_a_star(traced: Traced) -> None:
    files = {"train.py": "import pkg", "pkg/__init__.py": "__all__ = names()", "pkg/a.py": ""}
    assert paths(traced(files, "train.py")) == {"train.py", "pkg/__init__.py"}


def test_relative_imports_follow_the_packages_name_over_all_portions(traced: Traced) -> None:
    files = {"train.py": "import ns.a", "ns/a.py": "from . import b", "src/ns/b.py": "import c", "c.py": ""}
    assert paths(traced(files, "train.py")) == set(files)


def test_relative_imports_beyond_the_top_level_reach_nothing(traced: Traced) -> None:
    files = {"train.py": "import a", "a.py": "from . import b\nfrom .... import b", "b.py": ""}
    assert paths(traced(files, "train.py")) == {"train.py", "a.py"}


# trap 5 ---------------------------------------------------------------------------------------------------------------


def test_a_namespace_folder_gains_an_init(traced: Traced) -> None:
    files = {"train.py": "import ns.a", "ns/a.py": ""}
    before = traced(files, "train.py")
    assert "ns/__init__.py" in before.looked_up
    assert "ns/__init__.py" in paths(traced({**files, "ns/__init__.py": ""}, "train.py"))


def test_a_folder_that_an_import_takes_for_a_package_counts_while_it_is_there(traced: Traced) -> None:
    """`try: import fast` fails before and succeeds after, although no module came."""
    files: dict[str, Content] = {"train.py": "import fast.deep, slow"}
    assert traced(files, "train.py").namespaces == set()
    assert "fast" in traced(files, "train.py").folders
    assert traced({**files, "fast/data.txt": ""}, "train.py").namespaces == {"fast"}
    assert traced({**files, "fast/deep/x": "", "src/fast/y": ""}, "train.py").namespaces == {
        "fast",
        "fast/deep",
        "src/fast",
    }
    assert traced({**files, "fast/__init__.py": "", "slow.py": "", "slow/x": ""}, "train.py").namespaces == set()


def test_a_module_gains_a_package_of_the_same_name(traced: Traced) -> None:
    files = {"train.py": "import foo", "foo.py": ""}
    before = traced(files, "train.py")
    assert "foo" in before.folders
    after = traced({**files, "foo/__init__.py": ""}, "train.py")
    assert paths(after) == {"train.py", "foo/__init__.py"}
    assert paths(traced({**files, "foo/data.txt": ""}, "train.py")) == {"train.py", "foo.py"}


def test_a_later_regular_package_beats_an_earlier_namespace_portion(traced: Traced) -> None:
    files = {"train.py": "import ns.a, ns.b", "ns/a.py": "", "src/ns/__init__.py": "", "src/ns/b.py": ""}
    assert paths(traced(files, "train.py")) == {"train.py", "src/ns/__init__.py", "src/ns/b.py"}


@pytest.mark.parametrize(
    ("present", "wins"),
    [
        (["m/__init__.py", "m.so", "m.py"], "m/__init__.py"),
        (["m/__init__.so", "m/__init__.py"], "m/__init__.so"),
        (["m.abi3.so", "m.so", "m.py"], "m.abi3.so"),
        (["m.so", "m.py", "m.pyc"], "m.so"),
        (["m.py", "m.pyc", "m/x.txt"], "m.py"),
        (["m.pyc", "m/x.txt"], "m.pyc"),
    ],
)
def test_the_order_of_cpythons_finder(traced: Traced, present: list[str], wins: str) -> None:
    files: dict[str, Content] = {"train.py": "import m", **dict.fromkeys(present, "")}
    assert paths(traced(files, "train.py")) == {"train.py", wins}


def test_cython_source_counts_but_hides_nothing(traced: Traced) -> None:
    files = {"train.py": "import m", "m.pyx": "", "src/m.py": ""}
    assert paths(traced(files, "train.py")) == set(files)


def test_compiled_code_is_doubted(traced: Traced) -> None:
    closure = traced({"train.py": "import m", "m.so": b"\x7fELF"}, "train.py")
    assert doubts(closure) == {("is compiled: what it imports cannot be seen", "python")}


# trap 6 ---------------------------------------------------------------------------------------------------------------


def test_src_layout_is_on_the_path_after_the_root(traced: Traced) -> None:
    files = {"jobs/train.py": "import pkg, both", "src/pkg/__init__.py": "", "both.py": "", "src/both.py": ""}
    assert paths(traced(files, "jobs/train.py")) == {"jobs/train.py", "src/pkg/__init__.py", "both.py"}


def test_python_m_starts_from_the_root_and_runs_main(traced: Traced) -> None:
    files = {
        "src/pkg/__init__.py": "",
        "src/pkg/__main__.py": "import helper",
        "src/pkg/helper.py": "",
        "helper.py": "",
    }
    expected = {"src/pkg/__init__.py", "src/pkg/__main__.py", "helper.py"}
    assert paths(traced(files, "python -m pkg --lr ${{params.lr}}")) == expected
    assert paths(traced(files, "python3.11 -um pkg")) == expected
    assert paths(traced(files, "python src/pkg")) == {"src/pkg/__main__.py", "src/pkg/helper.py"}


def test_python_m_of_a_third_party_module_may_run_anything(traced: Traced) -> None:
    closure = traced(
        {"jobs/train.py": "import near", "jobs/near.py": ""}, "python -m torch.distributed.run jobs/train.py"
    )
    assert doubts(closure) == {("`-m torch.distributed.run` may run any file", "all")}
    assert paths(closure) == {"jobs/train.py", "jobs/near.py"}


@pytest.mark.parametrize(
    "command",
    [
        "bash run.sh",
        "make train",
        "./run.sh",
        "python -c 'import x'",
        "python a.py && python b.py",
        "python a.py; ls",
        "'",
    ],
)
def test_opaque_commands_may_run_any_file(traced: Traced, command: str) -> None:
    files = {"run.sh": "python a.py", "a.py": "# c\n", "b.py": "import c", "c.py": ""}
    assert {widen for _, widen in doubts(traced(files, command))} == {"all"}


def test_files_of_an_opaque_command_count_by_their_bytes(traced: Traced) -> None:
    command = "bash -e run.sh --config=conf/a.yaml tool.py"
    files = {"run.sh": Program("x"), "conf/a.yaml": "lr: 1", "tool.py": "import lib", "lib.py": ""}
    closure = traced(files, command)
    assert paths(closure) == set(files)
    values = dict(closure.files)
    tree, _ = repository(files)
    for path in ("run.sh", "conf/a.yaml", "tool.py"):
        entry = tree.get(path)
        assert entry is not None
        assert values[path] == f"{entry.mode} {entry.oid}"


def test_options_that_change_the_import_path_are_doubted(traced: Traced) -> None:
    closure = traced({"a.py": ""}, "python -I -X dev a.py")
    assert doubts(closure) == {("`-I` changes the import path", "python")}
    assert paths(closure) == {"a.py"}


def test_a_missing_script_is_looked_up_and_doubted(traced: Traced) -> None:
    closure = traced({"other.py": ""}, "jobs/train.py")
    assert "jobs/train.py" in closure.looked_up
    assert closure.doubts == (("jobs/train.py", closure.doubts[0][1]),)
    assert doubts(closure) == {("the script is not in the repository", "")}


def test_a_script_without_an_extension_is_python_if_python_runs_it(traced: Traced) -> None:
    files = {"bin/train": "import lib", "lib.py": ""}
    assert paths(traced(files, "python bin/train")) == set(files)


# trap 7 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "doubt"),
    [
        ("import sys\nsys.path.insert(0, '../lib')", ("changes the import path", "python")),
        ("import importlib\nimportlib.import_module(name)", ("computes the name of an import", "python")),
        ("exec(open('x.txt').read())", ("executes source text", "all")),
        ("import os\nos.system('make')", ("runs another program", "all")),
    ],
)
def test_what_cannot_be_followed_is_flagged_with_its_line(traced: Traced, source: str, doubt: tuple[str, str]) -> None:
    closure = traced({"train.py": "import lib", "lib.py": source}, "train.py")
    assert doubt in doubts(closure)
    assert [(path, doubt.line) for path, doubt in closure.doubts] == [("lib.py", source.count("\n") + 1)]


def test_a_script_run_as_a_subprocess_has_a_path_of_its_own(traced: Traced) -> None:
    files = {
        "jobs/train.py": "import subprocess\nsubprocess.run(['python', 'tools/prepare.py'])",
        "jobs/near.py": "",
        "tools/prepare.py": "import near",
        "tools/near.py": "",
    }
    assert paths(traced(files, "jobs/train.py")) == set(files)


def test_a_script_that_is_run_but_not_found_is_doubted(traced: Traced) -> None:
    closure = traced({"a.py": "import runpy\nrunpy.run_path('gone.py')"}, "a.py")
    assert doubts(closure) == {("runs gone.py, which is not where it is looked for", "python")}
    assert "gone.py" in closure.looked_up


# trap 8 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "import importlib\nimportlib.import_module('a.b')",
        "from importlib import import_module as load\nload('a.b')",
        "import importlib\nimportlib.import_module('.b', package='a')",
        "import importlib\nimportlib.import_module('..b', 'a.x')",
        "__import__('a.b')",
        "__import__('a', fromlist=['b'])",
        "import pydoc\npydoc.locate('a.b.Class')",
    ],
)
def test_literal_dynamic_imports(traced: Traced, source: str) -> None:
    files = {"train.py": source, "a/__init__.py": "", "a/b.py": "import c", "c.py": ""}
    closure = traced(files, "train.py")
    assert paths(closure) == set(files)
    assert not closure.doubts


def test_hydra_targets_are_imported(traced: Traced) -> None:
    files = {"train.py": "", "models/__init__.py": "", "models/net.py": "import torch, blocks", "blocks.py": ""}
    assert paths(traced(files, "train.py", targets=["models.net.Net", "torch.optim.Adam"])) == set(files)


# trap 9 ---------------------------------------------------------------------------------------------------------------


def test_imports_in_functions_in_try_and_under_type_checking_are_included(traced: Traced) -> None:
    source = """
from typing import TYPE_CHECKING
try:
    import fast
except ImportError:
    import slow
if TYPE_CHECKING:
    import typed
def later():
    class Inner:
        import lazy
"""
    files = {"train.py": source, "fast.py": "", "slow.py": "", "typed.py": "", "lazy.py": ""}
    assert paths(traced(files, "train.py")) == set(files)


# trap 10 --------------------------------------------------------------------------------------------------------------


def test_source_newer_than_the_running_python_still_has_imports(traced: Traced) -> None:
    source = "import lib\ntype X = int\ndef f[T](x: T) -> str:\n    return f'{x['a']}'\ntemplate = t'{1}'\nlazy import other\n"
    newer = "import lib\ndef f[T](x: T): ...\ntype X = int\n"
    assert paths(traced({"train.py": newer, "lib.py": ""}, "train.py")) == {"train.py", "lib.py"}
    assert "lib.py" in paths(traced({"train.py": source, "lib.py": ""}, "train.py"))


# trap 11 --------------------------------------------------------------------------------------------------------------


def test_a_linked_module_counts_with_its_link_and_keeps_its_package(traced: Traced) -> None:
    files = {
        "train.py": "import pkg.mod",
        "pkg/__init__.py": "",
        "pkg/mod.py": Link("../shared/real.py"),
        "pkg/near.py": "",
        "shared/real.py": "from . import near",
        "shared/near.py": "",
    }
    assert paths(traced(files, "train.py")) == set(files) - {"shared/near.py"}


def test_a_linked_script_puts_the_folder_of_its_target_on_the_path(traced: Traced) -> None:
    files = {"train.py": Link("jobs/real.py"), "jobs/real.py": "import near", "jobs/near.py": "", "near.py": ""}
    assert paths(traced(files, "train.py")) == {"train.py", "jobs/real.py", "jobs/near.py"}


def test_a_linked_folder_holds_packages_and_namespace_portions(traced: Traced) -> None:
    files = {"train.py": "import lib.ns.m", "lib": Link("vendor/lib"), "vendor/lib/ns/m.py": "from .. import n",
             "vendor/lib/n.py": "", "n.py": ""}  # fmt: skip
    assert paths(traced(files, "train.py")) == set(files) - {"n.py"}


def test_a_links_target_counts(traced: Traced) -> None:
    one = traced({"train.py": "import m", "m.py": Link("a.py"), "a.py": "", "b.py": ""}, "train.py")
    two = traced({"train.py": "import m", "m.py": Link("b.py"), "a.py": "", "b.py": ""}, "train.py")
    assert one.files != two.files
    assert dict(one.files)["m.py"].startswith("120000 ")


@pytest.mark.parametrize("target", ["/etc/m.py", "../m.py", "a/../../m.py"])
def test_links_out_of_the_repository_are_doubted(traced: Traced, target: str) -> None:
    closure = traced({"train.py": "import m", "m.py": Link(target)}, "train.py")
    assert ("links out of the repository", "") in doubts(closure)


def test_a_cycle_of_links_ends(traced: Traced) -> None:
    closure = traced({"train.py": "import m", "m.py": Link("n.py"), "n.py": Link("m.py")}, "train.py")
    assert ("a cycle of symbolic links", "") in doubts(closure)
    endless = traced({"train.py": "import " + "a." * 5_000 + "a", "a": Link(".")}, "train.py")
    assert "train.py" in paths(endless)


def test_a_dangling_links_target_was_looked_up(traced: Traced) -> None:
    assert "gone.py" in traced({"train.py": "import m", "m.py": Link("gone.py")}, "train.py").looked_up


def test_below_a_submodule_its_commit_stands_for_everything(traced: Traced) -> None:
    files = {"train.py": "import vendored.deep", "vendored": Commit("a" * 40), "src/vendored/deep.py": ""}
    closure = traced(files, "train.py")
    assert dict(closure.files)["vendored"] == f"160000 {'a' * 40}"
    assert "src/vendored/deep.py" in paths(closure)  # only the submodule knows whether it hides this one


def test_the_exec_bit_counts(traced: Traced) -> None:
    plain, program = traced({"a.py": "x = 1"}, "a.py"), traced({"a.py": Program("x = 1")}, "a.py")
    assert plain.files != program.files


# trap 13 --------------------------------------------------------------------------------------------------------------


def test_docstrings_count_only_where_something_in_the_closure_can_see_them(traced: Traced) -> None:
    def of(train: str, docstring: str) -> object:
        return traced({"train.py": train, "lib.py": f"def f():\n    '''{docstring}'''\n    return 1"}, "train.py").files

    assert of("import lib", "one") == of("import lib", "two")
    assert of("import lib\nprint(lib.f.__doc__)", "one") != of("import lib\nprint(lib.f.__doc__)", "two")


# extra paths ----------------------------------------------------------------------------------------------------------


def test_extra_files_count_and_python_ones_bring_their_imports(traced: Traced) -> None:
    files = {"train.py": "", "plugins/a/one.py": "from .. import near\nimport lib", "plugins/near.py": "", "lib.py": "",
             "data.bin": b"\0"}  # fmt: skip
    assert paths(traced(files, "train.py", extra=["plugins/a/one.py", "data.bin"])) == set(files)


def test_a_comment_changes_nothing_and_a_constant_does(traced: Traced) -> None:
    def of(lib: str) -> object:
        return traced({"train.py": "import lib", "lib.py": lib}, "train.py").files

    assert of("x = 1") == of("# why\nx  =  1\n")
    assert of("x = 1") != of("x = 2")


def test_names_that_no_file_can_have_are_harmless(traced: Traced) -> None:
    source = "import importlib\nfor n in (1,):\n    importlib.import_module('../../etc/x')\n    importlib.import_module('a..b')\n"
    assert paths(traced({"train.py": source, "etc/x.py": ""}, "train.py")) == {"train.py"}


def test_the_walk_is_provisional_until_its_facts_are_loaded() -> None:
    tree, _ = repository({"train.py": "import lib", "lib.py": ""})
    shelf = empty_shelf()
    closure = trace("train.py", (), (), tree, shelf)
    assert len(shelf.wanted) == 1
    assert paths(closure) == {"train.py"}
