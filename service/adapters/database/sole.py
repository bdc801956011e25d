"""Owns the lock by which one process is the only one on an SQLite file; refuses to wait for it."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from service.domain.errors import Refused


@contextlib.contextmanager
def sole_process(database: Path) -> Iterator[None]:
    """Hold ``<database>.lock`` for the block. The kernel drops it with the process, however that ends, and no program
    that was started by it inherits it. ``Refused`` names the process that has it, or why there can be no lock."""
    path = Path(f"{os.path.realpath(database)}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Refused(f"opening {database}: {error.filename}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise Refused(
                f"opening {database}: another Refit (process {holder}) works on it, and an SQLite file has one at a "
                "time; stop that one, or let REFIT_DATABASE_URL name a PostgreSQL database, which takes many"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
