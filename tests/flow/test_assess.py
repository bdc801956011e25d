"""Commit → findings on real repositories: odd paths and refs, renames, merges; neighbours that only save work."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.adapters.git.host import MirrorHost
from service.adapters.git.mirror import Mirror
from service.adapters.reading import IsolatedReader
from service.domain.assessment import Assessment
from service.domain.change import Change
from service.domain.errors import InvalidManifest, Refused
from service.domain.facts import Fact, Request
from service.domain.impact import Findings, Touch
from service.domain.step_key import PartKind
from service.flow.assess import BLOB_LIMIT, Assessor
from tests.flow.conftest import NAME
from tests.origins import Files, Origin
from tests.planning import part_values

MANIFEST = """\
version: 1
pipelines:
  p:
    components:
      train: {run: train.py, params: [lr], inputs: {raw: data/raw.csv}, outputs: [model]}
      other: {run: other.py}
"""
BASE: dict[str, str] = {
    "refit.yaml": MANIFEST,
    "params.yaml": "lr: 0.1\n",
    "train.py": "import lib\n",
    "lib.py": "x = 1\n",
    "other.py": "",
    "data/raw.csv": "1,2\n",
    "README.md": "",
}


class Memory:
    """The facts that outlive an assessor, and how often each was stored."""

    def __init__(self) -> None:
        self.facts: dict[tuple[Request, str], Fact] = {}
        self.stored: list[Request] = []

    def get(self, requests: Collection[Request], version: str) -> Mapping[Request, Fact]:
        return {one: self.facts[one, version] for one in requests if (one, version) in self.facts}

    def put(self, facts: Iterable[tuple[Request, Fact]], version: str) -> None:
        for request, fact in facts:
            self.stored.append(request)
            self.facts[request, version] = fact


class Desk:
    """An assessor with the repository that it reads."""

    def __init__(self, pushed: Origin, mirror: Mirror, reader: IsolatedReader) -> None:
        self.pushed, self.mirror, self.reader = pushed, mirror, reader
        self.memory = Memory()
        self.assessor = Assessor(reader, self.memory, ("local",))

    def push(self, files: Files, ref: str = "refs/heads/main", parents: tuple[str, ...] = ()) -> str:
        sha = self.pushed.commit(files, ref, parents)
        self.mirror.fetch(sha)
        return sha

    def at(self, sha: str, **more: str) -> Assessment:
        return self.assessor.at(NAME, self.mirror, sha, **more)

    def findings(self, head: str, base: str | None, **more: str) -> Findings:
        return self.assessor.findings(NAME, self.mirror, head, base, **more)

    def anew(self, sha: str) -> Assessment:
        """What an assessor that has never seen anything says of a commit."""
        return Assessor(self.reader, Memory(), ("local",)).at(NAME, self.mirror, sha)

    def touched(self, head: str, base: str) -> set[str]:
        """Components whose key the change alters; from the neighbour and from nothing alike."""
        found = self.findings(head, base)
        assert self.at(head).components == self.anew(head).components
        assert self.assessor.audit(NAME, self.mirror) == ()
        return {name for (_, name), effect in found.impact.effects if effect.touch is Touch.DIRECT}


@pytest.fixture
def desk(pushed: Origin, hosts: MirrorHost, reader: IsolatedReader) -> Desk:
    return Desk(pushed, hosts.repository(NAME), reader)


def sources(found: Assessment) -> set[str]:
    return set(part_values(found, PartKind.SOURCE))


# what a change touches ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edits", "touched"),
    [
        ({"README.md": "more"}, set()),
        ({"lib.py": "x  =  1  # why\n"}, set()),
        ({"lib.py": "x = 2\n"}, {"train"}),
        ({"params.yaml": "# why\nlr: 0.1\nk: 1\n"}, set()),
        ({"params.yaml": "lr: 0.2\n"}, {"train"}),
        ({"data/raw.csv": "1,3\n"}, {"train"}),
        ({"other.py": "x = 1"}, {"other"}),
        ({"sitecustomize.py": ""}, {"train", "other"}),
    ],
)
def test_a_push_touches_what_it_changes(desk: Desk, edits: dict[str, str], touched: set[str]) -> None:
    base = desk.push(BASE)
    assert desk.touched(desk.push({**BASE, **edits}), base) == touched


def test_without_a_base_everything_is_new(desk: Desk) -> None:
    found = desk.findings(desk.push(BASE), None)
    assert found.before is None
    assert {effect.touch for _, effect in found.impact.effects} == {Touch.DIRECT}
    assert len(found.change.files) == len(BASE)


def test_a_base_without_a_manifest_declared_nothing(desk: Desk) -> None:
    base = desk.push({"README.md": ""})
    found = desk.findings(desk.push(BASE), base)
    assert found.before is None
    broken = desk.push({**BASE, "refit.yaml": "nonsense"})
    assert desk.findings(desk.push(BASE), broken).before is None


# trap 11: links, submodules, modes, LFS -------------------------------------------------------------------------------


def linked(target: str) -> dict[str, str | tuple[str, str]]:
    return {**BASE, "lib.py": ("120000", target), "v1.py": "x = 1\n", "v2.py": "x = 1\n"}


def test_a_links_target_and_what_is_there_count(desk: Desk) -> None:
    base = desk.push(linked("v1.py"))
    assert desk.touched(desk.push(linked("v2.py")), base) == {"train"}
    assert desk.touched(desk.push({**linked("v1.py"), "v1.py": "x = 2\n"}), base) == {"train"}
    assert desk.touched(desk.push({**linked("v1.py"), "v2.py": "x = 2\n"}), base) == set()


def test_a_file_that_becomes_a_link_to_the_same_content_counts(desk: Desk) -> None:
    base = desk.push({**BASE, "v1.py": "x = 1\n"})
    assert desk.touched(desk.push({**BASE, "lib.py": ("120000", "v1.py"), "v1.py": "x = 1\n"}), base) == {"train"}


def test_a_submodules_commit_counts(desk: Desk) -> None:
    def using(oid: str) -> dict[str, str | tuple[str, str]]:
        return {**BASE, "train.py": "import vendored.tools\n", "vendored": ("160000", oid * 40)}

    assert desk.touched(desk.push(using("b")), desk.push(using("a"))) == {"train"}


def test_the_exec_bit_counts(desk: Desk) -> None:
    base = desk.push(BASE)
    assert desk.touched(desk.push({**BASE, "lib.py": ("100755", BASE["lib.py"])}), base) == {"train"}
    assert desk.touched(desk.push({**BASE, "README.md": ("100755", "")}), base) == set()


def test_an_lfs_pointer_counts_by_the_object_it_names(desk: Desk) -> None:
    def pointing(oid: str) -> dict[str, str]:
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid * 64}\nsize 9\n"
        return {**BASE, ".gitattributes": "*.csv filter=lfs\n", "data/raw.csv": pointer}

    assert desk.touched(desk.push(pointing("b")), desk.push(pointing("a"))) == {"train"}


# trap 17: many refs, odd refs, odd paths ------------------------------------------------------------------------------


def test_seventeen_thousand_refs(desk: Desk) -> None:
    base = desk.push(BASE)
    rows = "".join(f"create refs/heads/topic/{number} {base}\n" for number in range(17_000))
    desk.pushed.git("update-ref", "--stdin", stdin=rows.encode())
    desk.pushed.git("pack-refs", "--all")
    head = desk.push({**BASE, "lib.py": "x = 2\n"})
    assert len(desk.mirror.refs()) == 17_001
    assert desk.mirror.resolve("topic/16999") == base
    assert desk.touched(head, base) == {"train"}


ODD_REFS = [
    "-x",
    "--upload-pack=touch owned",
    "--output=owned",
    "a b;c",
    "@",
    "refs/heads/main",
    "HEAD",
    "ü",
    "x" * 200,
]


@pytest.mark.parametrize("name", ODD_REFS)
def test_a_ref_name_is_never_an_option(desk: Desk, name: str, tmp_path: Path) -> None:
    base = desk.push(BASE)
    sha = desk.pushed.commit({**BASE, "lib.py": "x = 2\n"}, ref="")
    if " " in name:  # git refuses such a name; whoever asks for it anyway is answered
        with pytest.raises(Refused):
            desk.mirror.resolve(name)
        return
    desk.pushed.git("update-ref", f"refs/heads/{name}", sha)
    desk.mirror.fetch(sha)
    assert desk.mirror.refs()[f"refs/heads/{name}"] == sha
    assert desk.mirror.resolve(f"refs/heads/{name}") == (base if name == "main" else sha)
    assert desk.touched(sha, base) == {"train"}
    assert not list(tmp_path.rglob("owned"))
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    "revision", ["-x", "--output=owned", "--all", "main; touch owned", "$(touch owned)", "", "\0", "0" * 40]
)
def test_what_is_no_revision_is_refused(desk: Desk, revision: str) -> None:
    base = desk.push(BASE)
    with pytest.raises(Refused):
        desk.mirror.resolve(revision)
    with pytest.raises(Refused):
        desk.findings(revision, base)
    assert not Path("owned").exists()


def test_paths_that_are_not_utf_8_or_hold_anything_else(desk: Desk) -> None:
    odd = [
        "data/\udcff\udcfe.bin",
        "data/new\nline",
        "data/tab\t",
        'data/"quoted"',
        "data/ü",
        "data/-x",
        "data/ a ",
        "data/\\",
    ]
    files = {**BASE, "refit.yaml": MANIFEST.replace("data/raw.csv", "data"), **dict.fromkeys(odd, "1")}
    base = desk.push(files)
    for path in odd:
        head = desk.push({**files, path: "2"})
        found = desk.findings(head, base)
        assert [file.path for file in found.change.files] == [path]
        assert keys(found.after)["train"] != keys(desk.at(base))["train"]
    assert desk.touched(desk.push({**BASE, "refit.yaml": files["refit.yaml"]}), base) == {"train"}


def test_an_import_finds_its_file_whatever_lies_beside_it(desk: Desk) -> None:
    files = {**BASE, "\udcff/lib.py": "x = 1", "\udcff.py": "", "lib/\udcff": "1"}
    assert "lib.py" in sources(desk.at(desk.push(files)))


# trap 18: renames -----------------------------------------------------------------------------------------------------


def test_a_rename_counts_at_both_paths(desk: Desk) -> None:
    base = desk.push({**BASE, "other.py": "import later\n"})
    moved = {name: text for name, text in BASE.items() if name != "lib.py"}
    head = desk.push({**moved, "other.py": "import later\n", "later.py": BASE["lib.py"]})
    found = desk.findings(head, base)
    assert found.change.renames == (("lib.py", "later.py"),)
    assert desk.touched(head, base) == {"train", "other"}


def test_a_rename_of_what_nobody_reads_touches_nothing(desk: Desk) -> None:
    base = desk.push({**BASE, "notes.txt": "n"})
    assert desk.touched(desk.push({**BASE, "docs/notes.txt": "n"}), base) == set()


# trap 20: the same content by another way -----------------------------------------------------------------------------


def keys(found: Assessment) -> dict[str, str]:
    return {name: one.ingredients.static_key for (_, name), one in found.components.items()}


def test_a_revert_a_squash_and_a_cherry_pick_have_the_keys_of_what_they_repeat(desk: Desk) -> None:
    base = desk.push(BASE)
    step = desk.push({**BASE, "lib.py": "x = 2\n"}, "refs/heads/topic", (base,))
    topic = desk.push({**BASE, "lib.py": "x = 2\n", "params.yaml": "lr: 0.2\n"}, "refs/heads/topic", (step,))
    squash = desk.push({**BASE, "lib.py": "x = 2\n", "params.yaml": "lr: 0.2\n"}, parents=(base,))
    assert keys(desk.at(squash)) == keys(desk.at(topic)) != keys(desk.at(base))
    revert = desk.push(BASE, parents=(squash,))
    assert keys(desk.at(revert)) == keys(desk.at(base))
    elsewhere = desk.push({**BASE, "README.md": "grown"}, "refs/heads/release", (base,))
    picked = desk.push({**BASE, "README.md": "grown", "lib.py": "x = 2\n"}, "refs/heads/release", (elsewhere,))
    assert keys(desk.at(picked)) == keys(desk.at(step))


# neighbours, facts, the audit -----------------------------------------------------------------------------------------


def test_a_blob_is_read_once_in_its_life(desk: Desk) -> None:
    base = desk.push(BASE)
    desk.at(base)
    known = list(desk.memory.stored)
    assert len(known) == len(set(known)) >= 4
    desk.at(desk.push({**BASE, "lib.py": "x = 2\n"}))
    fresh = desk.memory.stored[len(known) :]
    assert [kind for kind, _ in fresh] == ["python"]
    restarted = Assessor(desk.reader, desk.memory, ("local",))
    count = len(desk.memory.stored)
    assert restarted.at(NAME, desk.mirror, base).components == desk.at(base).components
    assert len(desk.memory.stored) == count, "a new process finds every fact in the cache"


def test_what_is_cached_under_another_version_is_not_believed(desk: Desk) -> None:
    desk.at(desk.push(BASE))
    old = {(request, "0/py3.9"): fact for (request, _), fact in desk.memory.facts.items()}
    desk.memory.facts = old
    count = len(desk.memory.stored)
    Assessor(desk.reader, desk.memory, ("local",)).at(NAME, desk.mirror, desk.push(BASE))
    assert len(desk.memory.stored) > count


def test_a_file_too_large_to_parse_counts_by_its_bytes(desk: Desk) -> None:
    large = "x = 1\n" + "#" * BLOB_LIMIT
    base = desk.push({**BASE, "lib.py": large})
    (note,) = [one for one in desk.at(base).components["p", "train"].ingredients.notes if one.startswith("lib.py")]
    assert "larger" in note
    assert desk.touched(desk.push({**BASE, "lib.py": large + "#"}), base) == {"train"}


class Liar:
    """A repository that says of any two commits that nothing changed between them."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mirror, name)

    def compare(self, base: str | None, head: str) -> Change:
        return Change(base, head, ())


def test_the_audit_finds_a_wrong_answer_and_nobody_plans_from_it_again(desk: Desk) -> None:
    desk.at(desk.push(BASE))
    assert desk.assessor.audit(NAME, desk.mirror) == ()
    head = desk.push({**BASE, "lib.py": "x = 2\n"})
    wrong = desk.assessor.at(NAME, Liar(desk.mirror), head)
    assert desk.assessor.audit(NAME, desk.mirror) == (("p", "train"),)
    truth = desk.at(head)
    assert wrong.components != truth.components == desk.anew(head).components
    assert desk.assessor.audit(NAME, desk.mirror) == ()


def test_an_audit_of_nothing_finds_nothing(desk: Desk) -> None:
    assert desk.assessor.audit(NAME, desk.mirror) == ()


def test_a_neighbour_that_the_repository_lost_is_done_without(
    desk: Desk, reader: IsolatedReader, tmp_path: Path
) -> None:
    """A forced push orphans a commit, and a mirror that is made anew does not bring it back."""
    desk.at(desk.push({**BASE, "lib.py": "x = 2\n"}))
    remade = Origin(tmp_path / "remade.git")
    head = remade.commit(BASE)
    with_new = MirrorHost(tmp_path / "new", {NAME: str(remade.path)}, protocols=("file",))
    mirror = with_new.repository(NAME)
    mirror.fetch(head)
    try:
        truth = Assessor(reader, Memory(), ("local",)).at(NAME, mirror, head)
        assert desk.assessor.at(NAME, mirror, head).components == truth.components
        with pytest.raises(Refused, match="no such commit"):
            desk.assessor.at(NAME, mirror, "e" * 40)
    finally:
        with_new.close()


def test_more_commits_than_are_kept_in_memory(desk: Desk) -> None:
    shas = [desk.push({**BASE, "lib.py": f"x = {number}\n"}) for number in range(20)]
    truths = [desk.at(sha).components for sha in shas]
    assert len({str(one["p", "train"].parts) for one in truths}) == 20
    for number in (0, 3, 19):
        assert desk.at(shas[number]).components == truths[number] == desk.anew(shas[number]).components


def test_threads_may_assess_at_once(desk: Desk) -> None:
    shas = [desk.push({**BASE, "lib.py": f"x = {number}\n"}) for number in range(8)]
    truths = [desk.anew(sha).components for sha in shas]
    found: dict[int, object] = {}

    def look(number: int) -> None:
        found[number] = desk.at(shas[number % len(shas)]).components

    threads = [threading.Thread(target=look, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] == truths[number % len(shas)] for number in range(24)] == [True] * 24


def test_two_repositories_are_no_neighbours(desk: Desk) -> None:
    desk.at(desk.push(BASE))
    head = desk.push({**BASE, "lib.py": "x = 2\n"})
    assert desk.assessor.at("acme/other", desk.mirror, head).components == desk.anew(head).components


# whose manifest is believed -------------------------------------------------------------------------------------------


def test_a_forks_own_manifest_is_not_believed(desk: Desk) -> None:
    base = desk.push(BASE)
    fork = desk.push(
        {**BASE, "refit.yaml": MANIFEST.replace("train.py", "steal.py"), "lib.py": "x = 2\n"}, "refs/heads/fork"
    )
    found = desk.findings(fork, base, manifest_at=base)
    assert found.after.manifest == desk.at(base).manifest
    assert {name for (_, name), effect in found.impact.effects if effect.touch is Touch.DIRECT} == {"train"}
    assert desk.at(fork).manifest != found.after.manifest, "asked for itself, it has its own"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "the commit has none; `refit init` writes a first one"),
        (("120000", "other.yaml"), "it must be a regular file"),
        (("160000", "a" * 40), "it must be a regular file"),
        ("#" * (BLOB_LIMIT + 1), "it is larger than"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(desk: Desk, content: str | tuple[str, str] | None, why: str) -> None:
    files: dict[str, str | tuple[str, str]] = {name: text for name, text in BASE.items() if name != "refit.yaml"}
    sha = desk.push({**files, "refit.yaml": content} if content else files)
    with pytest.raises(Refused) as refused:
        desk.at(sha)
    assert refused.value.reason.startswith(f"reading refit.yaml at {sha[:10]}: ")
    assert why in refused.value.reason


def test_a_manifest_with_mistakes_names_them_all(desk: Desk) -> None:
    with pytest.raises(InvalidManifest) as invalid:
        desk.at(desk.push({"refit.yaml": MANIFEST.replace("run:", "rum:")}))
    assert len(invalid.value.mistakes) == 4


def test_a_manifest_may_be_executable(desk: Desk) -> None:
    assert desk.at(desk.push({**BASE, "refit.yaml": ("100755", MANIFEST)})).components
