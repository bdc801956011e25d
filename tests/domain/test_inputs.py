"""What a declared input or environment file contributes to a key: whatever the step would read there, and no more."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.inputs import Reading, read_environment, read_input
from tests.builders import Commit, Content, Link, Program, blob_oid, empty_shelf, repository, settle

Read = Callable[[Mapping[str, Content], str], Reading]

POINTER = "outs:\n- md5: {}\n  path: raw\n"


@pytest.fixture
def read(reader: IsolatedReader) -> Read:
    def of(files: Mapping[str, Content], path: str) -> Reading:
        tree, blobs = repository(files)
        return settle(lambda shelf: read_input(path, tree, shelf), empty_shelf(), blobs, reader)

    return of


@pytest.fixture
def environment(reader: IsolatedReader) -> Read:
    def of(files: Mapping[str, Content], path: str) -> Reading:
        tree, blobs = repository(files)
        return settle(lambda shelf: read_environment(path, tree, shelf), empty_shelf(), blobs, reader)

    return of


def value(reading: Reading) -> str:
    ((_, found),) = reading.values
    return found


def what(reading: Reading) -> list[str]:
    return [doubt.what for _, doubt in reading.doubts]


# files and folders ----------------------------------------------------------------------------------------------------


def test_a_file_counts_by_mode_and_content(read: Read) -> None:
    found = read({"d.csv": "1"}, "d.csv")
    assert found.values == (("d.csv", f"100644 {blob_oid(b'1')}"),)
    assert found.looked_up == {"d.csv"}
    assert not found.doubts
    assert value(read({"d.csv": Program("1")}, "d.csv")) != value(found)
    assert value(read({"d.csv": "2"}, "d.csv")) != value(found)


def test_a_path_is_normalised(read: Read) -> None:
    assert read({"data/d.csv": "1"}, "./data//d.csv").values == read({"data/d.csv": "1"}, "data/d.csv").values


@pytest.mark.parametrize(
    "other",
    [
        {"data/a": "2", "data/sub/b": "1"},
        {"data/a": "1"},
        {"data/a": "1", "data/sub/b": "1", "data/c": ""},
        {"data/a": "1", "data/sub/c": "1"},
        {"data/a": Program("1"), "data/sub/b": "1"},
    ],
)
def test_everything_below_a_folder_counts(read: Read, other: Mapping[str, Content]) -> None:
    found = read({"data/a": "1", "data/sub/b": "1"}, "data/")
    assert found.prefixes == ("data/",)
    assert value(read(other, "data")) != value(found)


def test_nothing_beside_a_folder_counts(read: Read) -> None:
    assert value(read({"data/a": "1", "data.txt": "1"}, "data")) == value(
        read({"data/a": "1", "database/x": ""}, "data")
    )


def test_the_whole_repository_may_be_an_input(read: Read) -> None:
    found = read({"a": "1", "b/c": "2"}, ".")
    assert found.prefixes == ("",)
    assert value(found) != value(read({"a": "1", "b/c": "3"}, "."))


# trap 11: links and submodules ----------------------------------------------------------------------------------------


def test_a_link_counts_with_its_target(read: Read) -> None:
    files: dict[str, Content] = {"d.csv": Link("v1/d.csv"), "v1/d.csv": "1", "v2/d.csv": "1"}
    found = read(files, "d.csv")
    assert found.looked_up == {"d.csv", "v1/d.csv"}
    assert value(read({**files, "v1/d.csv": "2"}, "d.csv")) != value(found)
    assert value(read({**files, "d.csv": Link("v2/d.csv")}, "d.csv")) != value(found)
    assert value(read({**files, "v2/d.csv": "2"}, "d.csv")) == value(found)


def test_a_link_to_a_folder_counts_with_all_of_it(read: Read) -> None:
    files: dict[str, Content] = {"data": Link("store/v1"), "store/v1/a": "1"}
    found = read(files, "data")
    assert found.prefixes == ("store/v1/",)
    assert value(read({**files, "store/v1/b": ""}, "data")) != value(found)


def test_a_file_below_a_linked_folder(read: Read) -> None:
    files: dict[str, Content] = {"data": Link("store"), "store": Link("deep/er"), "deep/er/a": "1", "deep/er/b": "1"}
    found = read(files, "data/a")
    assert found.looked_up == {"data/a", "data", "store", "deep/er/a"}
    assert value(read({**files, "deep/er/a": "2"}, "data/a")) != value(found)
    assert value(read({**files, "deep/er/b": "2"}, "data/a")) == value(found)


def test_a_target_with_dots_is_resolved_as_the_kernel_does(read: Read) -> None:
    files: dict[str, Content] = {
        "d": Link("far/../d.csv"),
        "far": Link("a/b"),
        "a/b/x": "",
        "a/d.csv": "1",
        "d.csv": "1",
    }
    found = read(files, "d")
    assert value(read({**files, "a/d.csv": "2"}, "d")) != value(found)
    assert value(read({**files, "d.csv": "2"}, "d")) == value(found)


def test_a_link_inside_a_folder_counts_with_what_it_leads_to(read: Read) -> None:
    files: dict[str, Content] = {
        "data/a": Link("../big/a"),
        "data/sub": Link("../big/sub"),
        "big/a": "1",
        "big/sub/b": "1",
    }
    found = read(files, "data")
    assert set(found.prefixes) == {"data/", "big/sub/"}
    assert "big/a" in found.looked_up
    for path in ("big/a", "big/sub/b", "big/sub/c"):
        assert value(read({**files, path: "2"}, "data")) != value(found)
    assert value(read({**files, "big/c": "2"}, "data")) == value(found)


def test_links_that_lead_round_in_a_folder_end(read: Read) -> None:
    files: dict[str, Content] = {
        "data/self": Link("."),
        "data/up": Link(".."),
        "data/a": "1",
        "b/back": Link("../data"),
    }
    assert value(read(files, "data")) != value(read({**files, "data/a": "2"}, "data"))
    assert value(read(files, "data")) != value(read({**files, "b/c": ""}, "data"))


def test_links_that_branch_at_every_level_are_read_once_each(read: Read) -> None:
    files: dict[str, Content] = {"f24/a": "1"}
    for level in range(24):
        files |= {f"f{level}/{name}": Link(f"../f{level + 1}") for name in ("x", "y")}
    assert value(read(files, "f0")) != value(read({**files, "f24/a": "2"}, "f0"))


@pytest.mark.parametrize(
    ("files", "doubt"),
    [
        ({"d": Link("/etc/passwd")}, "links out of the repository"),
        ({"d": Link("../d")}, "links out of the repository"),
        ({"d": Link("e"), "e": Link("d")}, "a cycle of symbolic links"),
        ({"d": Link("gone")}, "the input is not in the repository, and no .dvc pointer stands for it"),
    ],
)
def test_a_link_that_leads_nowhere_is_doubted_and_counts(read: Read, files: dict[str, Content], doubt: str) -> None:
    found = read(files, "d")
    assert what(found) == [doubt]
    assert value(found) not in (value(read({}, "d")), value(read({"d": Link("elsewhere")}, "d")))


def test_a_dangling_links_target_was_looked_up(read: Read) -> None:
    assert {"d", "gone"} <= read({"d": Link("gone")}, "d").looked_up


def test_a_submodules_commit_stands_for_what_is_in_it(read: Read) -> None:
    one, two = Commit("a" * 40), Commit("b" * 40)
    for path in ("sub", "sub/deep/d.csv", "link/d.csv"):
        found = read({"sub": one, "link": Link("sub/deep")}, path)
        assert "sub" in found.looked_up
        assert not found.doubts
        assert value(found) != value(read({"sub": two, "link": Link("sub/deep")}, path))


# DVC ------------------------------------------------------------------------------------------------------------------


def test_a_dvc_pointer_stands_for_what_git_does_not_have(read: Read) -> None:
    found = read({"data/raw.dvc": POINTER.format("abc")}, "data/raw")
    assert "md5=abc" in value(found)
    assert {"data/raw", "data/raw.dvc"} <= found.looked_up
    assert not found.doubts
    assert value(read({"data/raw.dvc": "# moved\n" + POINTER.format("abc")}, "data/raw")) == value(found)
    assert value(read({"data/raw.dvc": POINTER.format("abd")}, "data/raw")) != value(found)


def test_a_pointer_may_stand_for_a_folder_above(read: Read) -> None:
    found = read({"data.dvc": POINTER.format("abc.dir")}, "data/raw/d.csv")
    assert "md5=abc.dir" in value(found)
    assert {"data/raw/d.csv.dvc", "data/raw.dvc", "data.dvc"} <= found.looked_up


def test_the_nearest_pointer_counts_and_a_file_in_git_beats_any(read: Read) -> None:
    files: dict[str, Content] = {"data.dvc": POINTER.format("far"), "data/raw.dvc": POINTER.format("near")}
    assert "md5=near" in value(read(files, "data/raw"))
    assert value(read({**files, "data/raw": "1"}, "data/raw")) == f"100644 {blob_oid(b'1')}"


def test_a_pointer_at_the_end_of_a_link(read: Read) -> None:
    files: dict[str, Content] = {"raw": Link("store/raw"), "store/raw.dvc": POINTER.format("abc")}
    assert "md5=abc" in value(read(files, "raw"))


def test_a_pointer_without_a_digest_is_doubted(read: Read) -> None:
    assert what(read({"raw.dvc": "outs: []"}, "raw")) == ["names no digest: all of its bytes count"]


def test_a_pointer_that_is_no_file_counts_by_what_it_is(read: Read) -> None:
    one, two = (read({"raw.dvc": Commit(oid * 40)}, "raw") for oid in "ab")
    assert value(one) != value(two)


# trap 15 --------------------------------------------------------------------------------------------------------------


def test_a_missing_input_has_a_value_and_was_looked_up(read: Read) -> None:
    missing = read({}, "data/d.csv")
    assert value(missing) == "absent"
    assert missing.looked_up == {"data/d.csv", "data/d.csv.dvc", "data.dvc", "data/dvc.lock", "dvc.lock"}
    assert what(missing) == ["the input is not in the repository, and no .dvc pointer stands for it"]
    assert value(read({"data/d.csv": ""}, "data/d.csv")) != "absent"
    assert value(read({"data/d.csv": "absent"}, "data/d.csv")) != "absent"


# environments ---------------------------------------------------------------------------------------------------------


def test_comments_of_a_requirements_file_do_not_count(environment: Read) -> None:
    found = environment({"requirements.txt": "numpy==1\n"}, "requirements.txt")
    assert environment({"requirements.txt": "# pinned\nnumpy==1  # why\n"}, "requirements.txt").values == found.values
    assert environment({"requirements.txt": "numpy==2\n"}, "requirements.txt").values != found.values
    assert not found.doubts


def test_included_files_count_relative_to_the_file_that_includes_them(environment: Read) -> None:
    files: dict[str, Content] = {
        "env/all.txt": "-r base.txt\n-c ../limits.txt\n",
        "env/base.txt": "-r deep/more.in\nnumpy\n",
        "env/deep/more.in": "-r ../base.txt\npandas\n",
        "limits.txt": "numpy<2\n",
        "base.txt": "not this one\n",
    }
    found = environment(files, "env/all.txt")
    assert set(dict(found.values)) == {"env/all.txt", "env/base.txt", "env/deep/more.in", "limits.txt"}
    assert found.looked_up == set(dict(found.values))
    for path in found.looked_up:
        assert environment({**files, path: f"{files[path]!s}scipy\n"}, "env/all.txt").values != found.values


@pytest.mark.parametrize("name", ["Dockerfile", "pyproject.toml", "environment.yml"])
def test_other_environment_files_count_by_their_bytes(environment: Read, name: str) -> None:
    assert environment({name: "FROM a # b"}, name).values == ((name, f"100644 {blob_oid(b'FROM a # b')}"),)


def test_a_missing_environment_file_is_doubted_and_was_looked_up(environment: Read) -> None:
    found = environment({"requirements.txt": "-r gone.txt\n-r ../outside.txt\n"}, "./requirements.txt")
    assert dict(found.values)["gone.txt"] == "absent"
    assert "gone.txt" in found.looked_up
    assert what(found) == ["the environment file is not in the repository"] * 2
    assert environment({}, "requirements.txt").values == (("requirements.txt", "absent"),)


@pytest.mark.parametrize(
    ("name", "place"),
    [("requirements.txt", "requirements.txt"), ("env/requirements.txt", "env")],
    ids=["file", "folder"],
)
def test_a_linked_environment_file_counts_with_its_target(environment: Read, name: str, place: str) -> None:
    target = "locks/prod" if place == "env" else "locks/prod/requirements.txt"
    files: dict[str, Content] = {place: Link(target), "locks/prod/requirements.txt": "numpy==1\n"}
    found = environment(files, name)
    assert {place, "locks/prod/requirements.txt"} <= found.looked_up
    assert not found.doubts
    changed = {**files, "locks/prod/requirements.txt": "numpy==2\n"}
    assert environment(changed, name).values != found.values
    commented = {**files, "locks/prod/requirements.txt": "numpy==1 # same\n"}
    assert environment(commented, name).values == found.values
    moved = {**files, place: Link(target.replace("prod", "test")), "locks/test/requirements.txt": "numpy==1\n"}
    assert environment(moved, name).values != found.values


def test_an_environment_file_in_a_submodule_counts_by_its_commit(environment: Read) -> None:
    one, two = (environment({"sub": Commit(oid * 40)}, "sub/requirements.txt") for oid in "ab")
    assert one.values != two.values
    assert "sub" in one.looked_up
    assert not one.doubts


def test_what_an_environment_installs_from_the_repository_is_doubted(environment: Read) -> None:
    (doubt,) = environment({"requirements.txt": "-e ./lib\n"}, "requirements.txt").doubts
    assert (doubt[1].what, doubt[1].widen) == ("installs ./lib from the repository", "all")
