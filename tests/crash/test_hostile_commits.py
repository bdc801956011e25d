"""No commit can hang, exhaust or crash the service: it is answered, what cannot be read counts as changed and says why, and
the pushes of other repositories are served meanwhile."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.crash.stand import Clone, Stand, command_of
from tests.crash.sums import FILES, MANIFEST

HOSTILE, HONEST = "acme/hostile", "acme/honest"
MOST_MEMORY = 1_500 * 1024 * 1024
IMPORTS_IT = {"src/preprocess.py": FILES["src/preprocess.py"] + "if False:\n    import hostile\n"}
GLOB = MANIFEST.replace(
    "        outputs: [numbers]\n", f"        outputs: [numbers]\n        paths: ['{'*a' * 14}b']\n"
)
TOML = MANIFEST.replace("params: [scale]", "params: [scale, 'conf.toml:a']")
JSON = MANIFEST.replace("params: [scale]", "params: [scale, 'conf.json:a']")
NOTEBOOK = MANIFEST.replace("src/evaluate.py", "src/evaluate.ipynb")
ALIASES = "".join(f"b{n + 1}: &b{n + 1} {{{', '.join(f'k{k}: *b{n}' for k in range(9))}}}\n" for n in range(9))
MERGES = "m0: &m0 {x: 1}\n" + "".join(
    f"m{n + 1}: &m{n + 1}\n" + f"  <<: [{', '.join([f'*m{n}'] * 9)}]\n" for n in range(30)
)


@dataclass(frozen=True)
class Case:
    """A commit, and what the answer says: the decision on ``preprocess``, or the delivery's outcome, with these words."""

    name: str
    files: dict[str, str | bytes]
    says: str
    decision: str = "run"
    links: dict[str, str] = field(default_factory=dict)


CASES = [
    Case("deep Python", IMPORTS_IT | {"src/hostile.py": "x = " + "(" * 100_000 + ")" * 100_000}, "Python"),
    Case("wide Python", IMPORTS_IT | {"src/hostile.py": "x = [" + "[]," * 300_000 + "]"}, "src/hostile.py"),
    Case("long Python", IMPORTS_IT | {"src/hostile.py": "x = 1" + " + 1" * 200_000}, "src/hostile.py"),
    Case("no Python", IMPORTS_IT | {"src/hostile.py": b"\0\xff" * 1_000}, "src/hostile.py"),
    Case("huge Python", IMPORTS_IT | {"src/hostile.py": b"#" * 2_000_000}, "larger than"),
    Case("many imports", IMPORTS_IT | {"src/hostile.py": "".join(f"import a{n}.b.c\n" for n in range(50_000))}, ""),
    Case("aliases", {"params.yaml": FILES["params.yaml"] + "b0: &b0 {x: 1}\n" + ALIASES}, "all of its bytes count"),
    Case("merges", {"params.yaml": FILES["params.yaml"] + MERGES}, "all of its bytes count"),
    Case("deep YAML", {"params.yaml": "[" * 200_000}, "all of its bytes count"),
    Case("deep TOML", {"refit.yaml": TOML, "conf.toml": "a = " + "[" * 100_000}, "all of its bytes count"),
    Case("deep JSON", {"refit.yaml": JSON, "conf.json": '{"a":' * 100_000}, "all of its bytes count"),
    Case("deep manifest", {"refit.yaml": "[" * 200_000}, "refit.yaml", ""),
    Case("manifest of aliases", {"refit.yaml": "b0: &b0 {x: 1}\n" + ALIASES}, "refit.yaml", ""),
    Case("a glob", {"refit.yaml": GLOB, "a" * 250: ""}, "", ""),
    Case("a notebook", {"refit.yaml": NOTEBOOK, "src/evaluate.ipynb": '{"cells": ' + "[" * 100_000}, "", "reuse"),
    Case("links in a circle", IMPORTS_IT, "", "run", {"src/hostile.py": "other.py", "src/other.py": "hostile.py"}),
    Case("an endless input", {}, "links out of the repository", "run", {"data.txt": "/dev/zero"}),
    Case(
        "odd names",
        {"\n\t\"'": "", "-rf": "", "a/\udcff\udcfe": "", "b/‮txt.py": "", "c/" + "d/" * 150 + "e": "", "f" * 255: ""},
        "",
        "reuse",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("hostile")
    with Stand(folder / "stand", f"sqlite:///{folder / 'refit.db'}", [HOSTILE, HONEST]) as made:
        made.serve()
        yield made


class Pair:
    """The hostile repository and an honest one beside it."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.hostile, self.honest = (
            Clone(stand.folder / name.split("/")[1], stand.git_server.url(name), FILES) for name in (HOSTILE, HONEST)
        )
        self._service = stand.processes[0].pid
        for clone in (self.hostile, self.honest):
            first = clone.commit("first" if clone is self.honest else "first of the hostile one")
            clone.push()
            assert stand.ended(first)["status"] == "succeeded"

    def honest_push_is_served(self) -> None:
        sha = self.honest.commit("a word", {"README.md": f"{time.monotonic()}\n"})
        self.honest.push()
        execution = self.stand.ended(sha)
        assert {step["state"] for step in execution["steps"]} == {"reused"}

    def push(self, case: Case) -> str:
        """The first commit's files and the case's, on a branch of its own."""
        git = self.hostile.git
        git("checkout", "--quiet", "-B", case.name.replace(" ", "-"), "main")
        for link, target in case.links.items():
            path = self.hostile.folder / link
            path.unlink(missing_ok=True)
            path.symlink_to(target)
        for name in case.files:
            (self.hostile.folder / os.path.dirname(name)).mkdir(parents=True, exist_ok=True)
        sha = self.hostile.commit(case.name, case.files)
        self.hostile.push()
        return sha

    def is_well(self) -> None:
        assert "serve" in command_of(self._service), "the service has not been started again"
        status = Path(f"/proc/{self._service}/status").read_text()
        peak = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))
        assert peak < MOST_MEMORY


@pytest.fixture(scope="module")
def pair(stand: Stand) -> Pair:
    return Pair(stand)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_commit_is_answered_while_others_are_served(stand: Stand, pair: Pair, case: Case) -> None:
    sha = pair.push(case)
    pair.honest_push_is_served()
    outcome = stand.outcome(sha)
    if case.decision or not case.says:
        execution = stand.ended(sha)
        if case.decision:
            assert execution["steps"][0]["planned"] == case.decision
        assert case.says in str(execution)
    else:
        assert case.says in outcome
    pair.is_well()


def plumb(clone: Clone, *words: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["git", *words], cwd=clone.folder, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def with_tree(clone: Clone, name: str, oid: str) -> str:
    """Push a commit of the first one's files and a folder that is this tree."""
    listed = plumb(clone, "ls-tree", "main").encode() + f"\n040000 tree {oid}\tfolder\n".encode()
    root = plumb(clone, "mktree", stdin=listed)
    sha = plumb(clone, "commit-tree", root, "-p", "main", "-m", name)
    clone.push(f"{sha}:refs/heads/{name}")
    return sha


def nested(clone: Clone, levels: int, width: int) -> str:
    blob = plumb(clone, "hash-object", "-w", "--stdin", stdin=b"x")
    oid = plumb(clone, "mktree", stdin="".join(f"100644 blob {blob}\tf{n}\n" for n in range(width)).encode())
    for _ in range(levels - 1):
        oid = plumb(clone, "mktree", stdin="".join(f"040000 tree {oid}\td{n}\n" for n in range(width)).encode())
    return oid


@pytest.mark.parametrize(
    ("name", "levels", "width", "says"),
    [("ten-thousand-million-files", 10, 10, ("larger than", "out of memory")), ("deep", 300, 1, ("folders deep",))],
)
def test_a_tree_without_end_is_refused(
    stand: Stand, pair: Pair, name: str, levels: int, width: int, says: tuple[str, ...]
) -> None:
    sha = with_tree(pair.hostile, name, nested(pair.hostile, levels, width))
    pair.honest_push_is_served()
    outcome = stand.outcome(sha)
    assert any(words in outcome for words in says), outcome
    pair.is_well()


def test_a_hundred_thousand_files(stand: Stand, pair: Pair) -> None:
    sha = with_tree(pair.hostile, "many", nested(pair.hostile, 5, 10))
    pair.honest_push_is_served()
    execution = stand.ended(sha)
    assert {step["state"] for step in execution["steps"]} == {"reused"}
    pair.is_well()
