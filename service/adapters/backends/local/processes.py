"""Owns finding and ending whole process trees on Linux, also what left its group; refuses to signal a reused id."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterator

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD in Linux's include/linux/sched.h: has no memory of its own, ever
MARK = "REFIT_STEP"
"""Environment variable of every process of a step: its attempt's token."""
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


def become_subreaper() -> None:
    """Orphans below this process come back to it instead of escaping to init."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Called in a child before exec: the kernel kills it when its parent dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot: with its id it names the process for ever. ``None`` if it has
    ended, also if nobody has reaped it yet."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
            return None if fields[0] == b"Z" else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def is_alive(pid: int, ticks: int | None) -> bool:
    return ticks is not None and start_ticks(pid) == ticks


def end_descendants(root: int, grace: float) -> None:
    """End everything below ``root`` (not itself): SIGTERM, then SIGKILL after ``grace`` seconds, until none is left."""
    deadline = time.monotonic() + grace
    for pid in _descendants(root):
        _signal(pid, signal.SIGTERM)
    while True:
        _reap()
        left = list(_descendants(root))
        if not left:
            return
        if time.monotonic() >= deadline:
            for pid in left:
                _signal(pid, signal.SIGKILL)
        time.sleep(0.02)


def end_left(token: str, leader: int | None, ticks: int | None) -> None:
    """End what a killed supervisor left behind: every process whose environment carries the token, or whose session is the
    one that ``leader`` began. One that left both behind escapes."""
    wanted = f"{MARK}={token}".encode()
    for _ in range(50):
        is_ours = leader is not None and start_ticks(leader) in (
            None,
            ticks,
        )  # else its id belongs to a stranger by now
        found = unseen = False
        for pid, fields in _processes():
            unseen |= _between_memories(pid, fields)  # before looking at its environment, which may come meanwhile
            if wanted in _environment(pid) or (is_ours and int(fields[3]) == leader):
                found = True
                _signal(pid, signal.SIGKILL)
        if not found and not unseen:
            return
        time.sleep(0.02)


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def _between_memories(pid: int, fields: list[bytes]) -> bool:
    """True of a process in the middle of exec or of its end: it is there, and neither its words nor its environment are."""
    if int(fields[6]) & _KERNEL_THREAD:
        return False
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return not file.read(1)
    except OSError:
        return False


def _descendants(root: int) -> Iterator[int]:
    parents = {pid: int(fields[1]) for pid, fields in _processes()}
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return iter(below - {root})


def _processes() -> Iterator[tuple[int, list[bytes]]]:
    """Each process that is not merely waiting to be reaped: state, parent, group, session and the rest, see proc(5)."""
    for pid in _pids():
        with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
            if fields[0] != b"Z":
                yield pid, fields


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
