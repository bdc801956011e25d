"""What keeps the service from starting is said in one clear message with exit code 1; what only looks like it does not."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.stand import Stand, kill, until


@pytest.fixture
def sqlite(tmp_path: Path) -> Stand:
    return Stand(tmp_path / "stand", f"sqlite:///{tmp_path / 'refit.db'}")


def refused(stand: Stand, *words: str, **more: str) -> str:
    done = stand.refit(*words, **more)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    return done.stderr


def test_two_servers_on_one_sqlite_file(sqlite: Stand, tmp_path: Path) -> None:
    with sqlite as stand:
        first = stand.serve()
        for words in (("serve",), ("worker",)):
            said = refused(stand, *words, REFIT_PORT="0")
            assert f"another Refit (process {first.pid}) works on it" in said
            assert "PostgreSQL" in said
        link = tmp_path / "link.db"
        link.symlink_to(tmp_path / "refit.db")
        elsewhere = {"REFIT_HOME": str(tmp_path / "other"), "REFIT_DATABASE_URL": f"sqlite:///{link}"}
        assert "another Refit" in refused(stand, "serve", REFIT_PORT="0", **elsewhere)
        assert stand.ready()[0] == 200, "the first one is none the worse"
        assert stand.refit("token", "create", "ci").returncode == 0
        assert "ok" in stand.refit("doctor").stdout
        kill(first, signal.SIGKILL)
        stand.serve()  # the kernel has dropped the lock


def test_an_api_and_workers_share_a_home_on_postgresql(postgres, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with Stand(tmp_path / "stand", postgres.create()) as stand:
        api = stand.serve("--no-worker")
        assert stand.ready()[1]["worker"] == "no worker has been seen for 30 s"
        workers = [stand.start("worker"), stand.start("worker")]
        until(lambda: stand.ready()[0] == 200, "a worker is seen", stand.log)
        assert [one.poll() for one in (api, *workers)] == [None, None, None]


@pytest.mark.parametrize("kind", ["home", "database"])
def test_a_folder_that_is_no_folder(sqlite: Stand, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    wrong = tmp_path / "file" / "below"
    change = {"REFIT_HOME": str(wrong)} if kind == "home" else {"REFIT_DATABASE_URL": f"sqlite:///{wrong / 'refit.db'}"}
    with sqlite as stand:
        said = refused(stand, "serve", **change)
        assert str(tmp_path / "file") in said
        assert "directory" in said.lower()


def test_a_database_that_somebody_else_keeps_locked(sqlite: Stand, tmp_path: Path) -> None:
    with sqlite as stand:
        assert stand.refit("token", "create", "ci").returncode == 0  # the schema is there
        with sqlite3.connect(tmp_path / "refit.db") as other:
            other.execute("BEGIN IMMEDIATE")
            assert "the database cannot be used now: database is locked" in refused(stand, "serve")
        stand.serve()


def test_a_database_that_is_away(sqlite: Stand) -> None:
    with sqlite as stand:
        gone = "postgresql+psycopg://refit@127.0.0.1:1/refit"
        assert "the database cannot be used now: connection" in refused(stand, "serve", REFIT_DATABASE_URL=gone)


def test_a_database_on_a_read_only_disk(sqlite: Stand, tmp_path: Path) -> None:
    with sqlite as stand:
        assert stand.refit("token", "create", "ci").returncode == 0
        done = read_only(tmp_path, stand)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        assert "Read-only file system" in done.stderr or "readonly database" in done.stderr


def read_only(folder: Path, stand: Stand) -> subprocess.CompletedProcess[str]:
    """``refit serve`` in a mount namespace of its own, where the folder cannot be written."""
    if os.geteuid() or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("needs root and mount namespaces")
    script = (
        f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} && exec {sys.executable} -m service serve"
    )
    home = folder.parent / f"{folder.name}-home"
    return subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env=stand.environment(REFIT_HOME=str(home)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
