"""Environments by content: built once by real uv, shared, made anew after a crash; private where they depend on the run."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import subprocess
import threading
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uv

from service.adapters.backends.steps.declared import Unbuildable
from service.adapters.backends.steps.environments import Interrupted, Shelf, environment_for
from service.domain.execution import Seen
from tests.backends import Bench, local

WHEEL = "wheels/common-1.0-py3-none-any.whl"


def wheel(path: Path, value: int) -> bytes:
    """A package ``common`` whose ``VALUE`` is this."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files = {
        "common.py": f"VALUE = {value}\n",
        "common-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: common\nVersion: 1.0\n",
        "common-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = []
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record.append(f"{name},sha256={digest},{len(text)}\n")
        archive.writestr("common-1.0.dist-info/RECORD", "".join(record) + "common-1.0.dist-info/RECORD,,\n")
    return path.read_bytes()


class Builder:
    """Calls uv offline, counts its calls, and can be told to wait or to fail instead."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[list[str]] = []
        self.code: int | None = None
        self.go = threading.Event()
        self.go.set()
        self.waiting = threading.Event()

    def __call__(self, command: Sequence[str], folder: Path) -> int:
        self.calls.append(list(command))
        self.waiting.set()
        assert self.go.wait(60)
        if self.code is not None:
            return self.code
        return subprocess.run(
            command, cwd=folder, env={**os.environ, "UV_OFFLINE": "1"}, capture_output=True, check=False
        ).returncode

    def make(self, source: Path, *files: str, private: str = "private") -> tuple[Path, str]:
        shelf = Shelf(self.root / "shared", self.root / private)
        return environment_for(shelf, files, source, uv.find_uv_bin(), self, lambda: None)


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "environments")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "r.txt").write_text("# nothing is needed\n")
    return tmp_path / "source"


def says(python: Path, code: str) -> str:
    return subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_it_is_built_once_and_shared(builder: Builder, source: Path) -> None:
    python, name = builder.make(source, "r.txt")
    assert says(python, "import sys; print(sys.prefix != sys.base_prefix)") == "True"
    assert builder.make(source, "r.txt") == (python, name)
    assert len(builder.calls) == 2, "one to make it, one to fill it"
    assert builder.make(source)[1] != name, "none at all is another one"


def test_its_name_is_the_content_of_every_file(builder: Builder, source: Path) -> None:
    (source / "sub").mkdir()
    (source / "r.txt").write_text("-r sub/more.txt\n--constraint=c.txt\n")
    (source / "sub/more.txt").write_text("-c ../c.txt\n-r more.txt\n")
    (source / "c.txt").write_text("")
    names = [builder.make(source, "r.txt")[1]]
    for path in ("r.txt", "sub/more.txt", "c.txt"):
        (source / path).write_text((source / path).read_text() + "# a comment\n")
        names.append(builder.make(source, "r.txt")[1])
    names.append(builder.make(source, "r.txt", "c.txt")[1])
    assert len(set(names)) == 5


def test_what_a_killed_build_left_is_thrown_away(builder: Builder, source: Path) -> None:
    python, _ = builder.make(source, "r.txt")
    (python.parents[1] / ".complete").unlink()
    (python.parents[1] / "half").touch()
    builder.make(source, "r.txt")
    assert not (python.parents[1] / "half").exists()
    assert says(python, "print(1)") == "1"


def test_many_want_it_at_once_and_one_builds_it(builder: Builder, source: Path) -> None:
    builder.go.clear()
    with ThreadPoolExecutor(4) as threads:
        made = [threads.submit(builder.make, source, "r.txt") for _ in range(4)]
        assert builder.waiting.wait(60)
        builder.go.set()
        assert len({future.result() for future in made}) == 1
    assert len(builder.calls) == 2


def test_whoever_waits_can_be_told_to_stop(builder: Builder, source: Path) -> None:
    class Cancelled(Exception): ...

    def check() -> None:
        raise Cancelled

    builder.go.clear()
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(builder.make, source, "r.txt")
        assert builder.waiting.wait(60)
        shelf = Shelf(builder.root / "shared", builder.root / "private")
        with pytest.raises(Cancelled):
            environment_for(shelf, ["r.txt"], source, uv.find_uv_bin(), builder, check)
        builder.go.set()
        assert first.result()


def test_what_cannot_be_installed_is_said_and_tried_again_next_time(builder: Builder, source: Path) -> None:
    (source / "r.txt").write_text("no-such-package-anywhere==1\n")
    for calls in (2, 4):
        with pytest.raises(Unbuildable, match=r"uv could not install r.txt"):
            builder.make(source, "r.txt")
        assert len(builder.calls) == calls
    builder.code = 1
    with pytest.raises(Unbuildable, match="uv could not make it"):
        builder.make(source)


def test_a_killed_uv_is_nobody_s_fault(builder: Builder, source: Path) -> None:
    builder.code = -signal.SIGKILL
    with pytest.raises(Interrupted, match="SIGKILL"):
        builder.make(source, "r.txt")
    builder.code = None
    assert builder.make(source, "r.txt")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.txt", "absent.txt is not in the repository"),
        ("folder", "folder is not in the repository"),
        ("../outside.txt", "not in the repository"),
        ("/etc/hostname", "not in the repository"),
        ("link.txt", "link.txt is not in the repository"),
        ("conda.yml", "cannot use conda.yml"),
        ("env.yaml", "cannot use env.yaml"),
        ("docker/Dockerfile.gpu", "cannot use"),
        ("includes.txt", "absent.txt is not in the repository"),
    ],
)
def test_only_requirements_of_the_repository_are_used(builder: Builder, source: Path, name: str, words: str) -> None:
    (source / "folder").mkdir()
    (source.parent / "outside.txt").write_text("")
    (source / "link.txt").symlink_to(source.parent / "outside.txt")
    (source / "includes.txt").write_text("-r absent.txt\n")
    with pytest.raises(Unbuildable, match=words):
        builder.make(source, name)
    assert builder.calls == []


@pytest.mark.parametrize(
    "line",
    [
        f"./{WHEEL}",
        WHEEL,
        f"  {WHEEL}  # ours",
        f"common @ file:{WHEEL}",
        "--no-index\n--find-links ./wheels\ncommon",
        "--no-index\n-f wheels\ncommon==1.0",
    ],
)
def test_a_package_of_the_repository_is_installed_as_it_is_at_the_commit(
    builder: Builder, source: Path, line: str
) -> None:
    """The same line, another content: what is shared by content would be yesterday's."""
    for value in (1, 2):
        work = source / str(value)
        wheel(work / WHEEL, value)
        (work / "r.txt").write_text(f"{line}\n")
        python, _ = builder.make(work, "r.txt", private=f"run-{value}")
        assert says(python, "import common; print(common.VALUE)") == str(value)
        assert python.is_relative_to(builder.root / f"run-{value}")


@pytest.mark.parametrize(
    "line",
    [
        "pkg",
        "pkg==1.0  # see ./notes.whl",
        "pkg @ git+https://host/x.git@v1",
        "-f https://host/wheels",
        "--index-url https://host/simple",
        "pkg[a,b]>=1; python_version > '3'",
    ],
)
def test_what_comes_from_elsewhere_is_shared(builder: Builder, source: Path, line: str) -> None:
    (source / "r.txt").write_text(f"{line}\n")
    builder.code = 1
    with pytest.raises(Unbuildable):
        builder.make(source, "r.txt")
    assert Path(builder.calls[0][-1]).is_relative_to(builder.root / "shared")


def test_a_step_runs_with_what_its_commit_brings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An editable install points into the run's own files, which are gone afterwards."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    bench: Bench = local(tmp_path / "root")
    for value in (1, 2):
        content = wheel(tmp_path / WHEEL, value)
        seen = bench.run(
            "import common; from flags import *; write('o', str(common.VALUE))",
            files={WHEEL: content, "r.txt": f"./{WHEEL}\n"},
            environment=["r.txt"],
            outputs=["o"],
        )
        assert seen.seen is Seen.SUCCEEDED, seen.error
        assert [one.digest for one in seen.outputs] == [f"sha256:{hashlib.sha256(str(value).encode()).hexdigest()}"]
