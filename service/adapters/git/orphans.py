"""Owns ending what git left running when the service that had started it was killed; refuses to end anybody else's."""

from __future__ import annotations

import contextlib
import os
import signal
from functools import cache
from pathlib import Path

OWNER = "REFIT_GIT_OWNER"
"""Environment variable of every git that we start: who started it, as process id and start time."""


def owner() -> str:
    """This process, named for as long as the machine runs."""
    return _named(os.getpid())


@cache
def _named(pid: int) -> str:
    return f"{pid}.{_start_ticks(pid)}"


def end_orphans(folder: Path) -> int:
    """End every git process on the repository ``folder``, or on one in the making for it (``<folder>.making``), whose owner
    is gone; how many there were."""
    ended = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            words = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
            found = dict(word.partition(b"=")[::2] for word in words)
            at = found.get(b"GIT_DIR", b"")
            ours = at == os.fsencode(folder) or at.startswith(os.fsencode(folder) + b".")
            if ours and not _is_alive(found.get(OWNER.encode(), b"").decode()):
                os.kill(int(name), signal.SIGKILL)
                ended += 1
    return ended


def _is_alive(who: str) -> bool:
    """``""`` is somebody else's git, which is left alone."""
    pid, _, ticks = who.partition(".")
    return not who or (_start_ticks(int(pid)) or "gone") == ticks


def _start_ticks(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""
