"""Owns disks that are too small, for tests of what happens on them; refuses to fill a real one."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import absent


@contextmanager
def little_space(size: int) -> Iterator[None]:
    """A file of this process that grows beyond ``size`` bytes fails, part of it written, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own, in memory, mounted at ``folder``, which is made; where that is not allowed, the test is skipped."""
    folder.mkdir(parents=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=False)
    if os.geteuid() or mounted.returncode:
        absent("tmpfs", "needs root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
