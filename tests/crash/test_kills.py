"""SIGKILL of everything that is not the whole service: a worker, a step, its supervisor, git, uv, the reading process. Nothing
is lost, nothing stays running, and the next attempt succeeds."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.stand import NAME, Clone, Stand, children, command_of, kill, marked, until
from tests.crash.sums import FILES, MANIFEST, noted, params


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Stand]:
    """On SQLite: what is killed here does not touch the database."""
    with Stand(tmp_path / "stand", f"sqlite:///{tmp_path / 'refit.db'}") as made:
        yield made


def cloned(stand: Stand, **files: str) -> Clone:
    return Clone(stand.folder / "clone", stand.git_server.url(NAME), FILES | files)


def pushed(clone: Clone, message: str, files: dict[str, str] | None = None) -> str:
    sha = clone.commit(message, files)
    clone.push()
    return sha


def token_of(stand: Stand, sha: str, step: str) -> str:
    found = stand.execution(sha)
    return f"{found['id']}.{step}.1" if found else ""


def begun(stand: Stand, sha: str, step: str) -> str:
    """The token of a step's first attempt, once its program runs."""
    until(lambda: noted(stand.folder, "start")[token_of(stand, sha, step)], f"{step} runs", stand.log)
    return token_of(stand, sha, step)


def seen(execution: dict[str, Any], step: str) -> list[str]:
    (found,) = [one for one in execution["steps"] if one["component"] == step]
    return [attempt["state"] for attempt in found["attempts"]]


def nothing_twice(stand: Stand) -> None:
    starts = noted(stand.folder, "start")
    assert set(starts.values()) == {1}, starts
    assert stand.steps() == []


def test_another_worker_takes_over_from_one_that_was_killed(postgres, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with Stand(tmp_path / "stand", postgres.create()) as stand:
        stand.serve("--no-worker")
        first = stand.start("worker")
        clone = cloned(stand)
        sha = pushed(clone, "slow", params(delay=3))
        begun(stand, sha, "train")
        kill(first)
        stand.start("worker")
        execution = stand.ended(sha)
        assert execution["status"] == "succeeded"
        assert [seen(execution, step) for step in ("preprocess", "train", "evaluate")] == [["succeeded"]] * 3
        nothing_twice(stand)


def test_a_step_that_is_killed_fails_and_is_retried_as_often_as_declared(here: Stand) -> None:
    here.serve()
    manifest = MANIFEST.replace("        outputs: [model]\n", "        outputs: [model]\n        with: {retries: 1}\n")
    sha = pushed(cloned(here, **{"refit.yaml": manifest}), "slow", params(delay=4))
    token = begun(here, sha, "train")
    for pid in [pid for pid, value in marked("REFIT_STEP") if value == token]:
        os.kill(pid, signal.SIGKILL)
    execution = here.ended(sha)
    assert (execution["status"], seen(execution, "train")) == ("succeeded", ["failed", "succeeded"])
    assert "killed by SIGKILL" in execution["steps"][1]["attempts"][0]["error"]
    nothing_twice(here)


def test_a_supervisor_that_is_killed_while_the_service_is_down(here: Stand) -> None:
    service = here.serve()
    sha = pushed(cloned(here), "slow", params(delay=4))
    token = begun(here, sha, "train")
    kill(service)
    folder = str(here.home / "local" / "runs" / token)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and f"supervise {folder}" in command_of(int(entry.name)):
            os.kill(int(entry.name), signal.SIGKILL)
    here.serve()
    execution = here.ended(sha)
    assert (execution["status"], seen(execution, "train")) == ("succeeded", ["lost", "succeeded"])
    nothing_twice(here)


# uv -------------------------------------------------------------------------------------------------------------------

# A package whose build waits for a file of the stand; it is built in the run's folder, <stand>/home/local/runs/<token>/work.
_BACKEND = """\
import pathlib
import time
import zipfile


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    while not (pathlib.Path.cwd().parents[5] / "go").exists():
        time.sleep(0.05)
    name = "slowly-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / name, "w") as wheel:
        wheel.writestr("slowly.py", "")
        wheel.writestr("slowly-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slowly\\nVersion: 1\\n")
        wheel.writestr("slowly-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("slowly-1.dist-info/RECORD", "")
    return name
"""
SLOWLY = {
    "refit.yaml": MANIFEST.replace("ignore:", "environment: requirements.txt\nignore:"),
    "requirements.txt": "./slowly\n",
    "slowly/pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    '[project]\nname = "slowly"\nversion = "1"\n',
    "slowly/backend.py": _BACKEND,
}


@pytest.mark.parametrize("victim", ["uv", "supervisor"])
def test_uv_in_mid_install(here: Stand, victim: str) -> None:
    here.serve()
    sha = pushed(cloned(here, **SLOWLY), "with an environment")
    until(lambda: token_of(here, sha, "preprocess"), "it is planned", here.log)
    token = token_of(here, sha, "preprocess")

    def installing() -> list[int]:
        return [pid for pid, value in marked("REFIT_STEP") if value == token and "pip install" in command_of(pid)]

    until(lambda: any("backend" in command_of(pid) or children(pid) for pid in installing()), "uv builds", here.log)
    (uv,) = installing()
    parent = int(Path(f"/proc/{uv}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(uv if victim == "uv" else parent, signal.SIGKILL)
    (here.folder / "go").touch()
    execution = here.ended(sha)
    assert (execution["status"], seen(execution, "preprocess")) == ("succeeded", ["lost", "succeeded"])
    assert [pid for pid, value in marked("REFIT_STEP") if value == token] == []
    nothing_twice(here)


# git ------------------------------------------------------------------------------------------------------------------


def stalled(stand: Stand) -> threading.Event:
    """From now on fetches wait at the git server until the event is set; pushes do not."""
    gate = threading.Event()
    server = stand.git_server._server

    class Stalling(server.RequestHandlerClass):  # type: ignore[misc, name-defined]
        def do_POST(self) -> None:
            if "git-upload-pack" in self.path:
                gate.wait(120)
            super().do_POST()

    server.RequestHandlerClass = Stalling
    return gate


@pytest.mark.parametrize("victim", ["git", "service"])
def test_git_in_mid_fetch(here: Stand, victim: str) -> None:
    service = here.serve()
    clone = cloned(here)
    gate = stalled(here)
    sha = pushed(clone, "first")

    def fetching() -> list[int]:
        mirrors = str(here.home / "mirrors")
        return [pid for pid, folder in marked("GIT_DIR") if folder.startswith(mirrors) and "fetch" in command_of(pid)]

    until(fetching, "git waits for the remote", here.log)
    if victim == "git":
        for pid in fetching():
            os.kill(pid, signal.SIGKILL)
        gate.set()
    else:
        kill(service)
        here.serve()
        gate.set()
    assert here.ended(sha)["status"] == "succeeded"
    until(lambda: not fetching(), "no git is left", here.log)
    nothing_twice(here)


def test_the_reading_process(here: Stand) -> None:
    service = here.serve()
    clone = cloned(here)
    assert here.ended(pushed(clone, "first"))["status"] == "succeeded"

    def readers() -> list[int]:
        return [pid for pid in children(service.pid) if "reading.process" in command_of(pid)]

    assert readers()
    for pid in readers():
        os.kill(pid, signal.SIGKILL)
    execution = here.ended(pushed(clone, "second", params(factor=4) | {"src/more.py": "import os\n"}))
    assert execution["status"] == "succeeded"
    assert [step["state"] for step in execution["steps"]] == ["reused", "succeeded", "succeeded"]
    left = readers()
    assert left
    kill(service)
    until(lambda: not any("reading.process" in command_of(pid) for pid in left), "they end with the service")
