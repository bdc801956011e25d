"""Requirements, links, DVC pointers and globs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from service.adapters.reading.globs import compile_globs
from service.adapters.reading.requirements import read_requirements
from service.adapters.reading.text import read_dvc, read_link


def test_comments_and_blank_lines_of_requirements_do_not_count() -> None:
    one = read_requirements(b"# pinned\nnumpy==2.0  # why\n\npandas \\\n  >=2\n")
    assert one == read_requirements(b"numpy==2.0\r\npandas   >=2\r\n")
    assert one != read_requirements(b"numpy==2.1\npandas >=2\n")


def test_a_fragment_is_no_comment() -> None:
    assert read_requirements(b"git+https://x/y#egg=a") != read_requirements(b"git+https://x/y#egg=b")


def test_includes_and_local_projects() -> None:
    text = b"-r base.txt\n--constraint=c.txt\n-rmore.txt\n-e ./lib\n.[dev]\n-r https://example.com/x.txt\n-e git+https://x/y\n"
    facts = read_requirements(text)
    assert facts.includes == ("base.txt", "c.txt", "more.txt")
    assert [(doubt.what, doubt.widen) for doubt in facts.doubts] == [
        ("installs ./lib from the repository", "all"),
        ("installs . from the repository", "all"),
    ]


def test_a_links_value_is_its_target() -> None:
    assert read_link(b"../\xff").value.encode("utf-8", "surrogateescape") == b"../\xff"


def test_a_dvc_pointer_is_its_digests() -> None:
    one = read_dvc(b"outs:\n- md5: abc.dir\n  size: 1\n  path: data\n")
    assert one == read_dvc(b"# moved\nouts:\n- {path: data, md5: abc.dir, size: 1, nfiles: 2}\n")
    assert one.doubts == ()
    assert one.value != read_dvc(b"outs:\n- md5: abd.dir\n  path: data\n").value


@pytest.mark.parametrize(
    "content", [b"", b"outs: []", b"outs:\n- path: data\n", b"[", b"outs: 1", b"outs:\n- md5: a\n- path: b\n"]
)
def test_a_pointer_without_a_digest_counts_by_its_bytes(content: bytes) -> None:
    facts = read_dvc(content)
    assert facts.value.startswith("bytes ")
    assert facts.doubts


# globs ----------------------------------------------------------------------------------------------------------------

_SEGMENT = st.sampled_from(["a", "b", "ab", "*", "a*", "?", "**", "[ab]", "a.py", "*.py", "!a", "\\!a"])
_PATTERN = st.builds(
    lambda bang, slash, segments, end: bang + slash + "/".join(segments) + end,
    st.sampled_from(["", "", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(_SEGMENT, min_size=1, max_size=3),
    st.sampled_from(["", "/", "/**"]),
)
_FILE = st.lists(st.sampled_from(["a", "b", "ab", "a.py", "b.py", "!a"]), min_size=1, max_size=4).map("/".join)


@given(st.lists(_PATTERN, max_size=4), st.lists(_FILE, max_size=6))
def test_the_literal_prefix_never_changes_the_answer(patterns: list[str], paths: list[str]) -> None:
    spec, matches = GitIgnoreSpec.from_lines(patterns), compile_globs(patterns)
    assert [matches(path) for path in paths] == [bool(spec.match_file(path)) for path in paths]


def test_globs_agree_with_git(tmp_path: Path) -> None:
    patterns = ["src/features/**", "*.md", "/top.txt", "data/*", "!data/keep.csv", "docs/*.rst", "!README.md"]
    paths = ["src/features/a.py", "src/features/x/b.py", "src/a.py", "x/y.md", "README.md", "top.txt", "a/top.txt",
             "data/x.csv", "data/keep.csv", "x/data/y", "docs/a.rst", "docs/x/a.rst"]  # fmt: skip
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    (tmp_path / ".gitignore").write_text("\n".join(patterns))
    asked = subprocess.run(["git", "check-ignore", *paths], cwd=tmp_path, capture_output=True, text=True)
    assert [path for path in paths if compile_globs(patterns)(path)] == asked.stdout.split()


def test_a_negation_below_an_excluded_folder_is_believed() -> None:
    """git would not look below ``data/`` any more; here whoever names the file means it."""
    matches = compile_globs(["data/", "!data/keep.csv"])
    assert (matches("data/x.csv"), matches("data/keep.csv")) == (True, False)


def test_a_pattern_that_git_refuses_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="pattern"):
        compile_globs(["a//b", "!"])
