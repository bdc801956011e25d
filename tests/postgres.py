"""Owns a private PostgreSQL cluster for a test session; refuses the machine's own one."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg


def binaries() -> Path | None:
    """The folder of the newest server: Debian's package keeps it off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """A server on a socket in ``folder``, durable as a real one; its libpq connection string without a database."""
    programs = binaries()
    assert programs is not None, "PostgreSQL's server is not installed"
    as_user = []
    if os.geteuid() == 0:  # the server refuses to run as root
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = ["runuser", "-u", "postgres", "--"]
    data = folder / "data"

    def run(program: str, *arguments: str) -> None:
        command = [*as_user, str(programs / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=folder, timeout=120)

    run("initdb", "--auth=trust", "--username=refit", "--encoding=UTF8", "--no-locale", "-D", str(data))
    options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c max_connections=200"
    run("pg_ctl", "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"host={folder} user=refit"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")


@contextmanager
def private_folder() -> Iterator[Path]:
    """Short, since a socket's path is limited to about 100 bytes, and reachable by the server's user."""
    folder = Path(tempfile.mkdtemp(prefix="refit-pg-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Databases:
    """Fresh databases of one cluster."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._made = 0

    def create(self) -> str:
        """The SQLAlchemy URL of a new, empty database."""
        self._made += 1
        name = f"test_{os.getpid()}_{self._made}"
        with psycopg.connect(f"{self._where} dbname=postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        host = self._where.split()[0].removeprefix("host=")
        return f"postgresql+psycopg://refit@/{name}?host={host}"
