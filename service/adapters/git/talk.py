"""Owns one conversation with a git process within bounds of time and size; refuses to know what it is about."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time

_PART = 1 << 16
_MOST_ERRORS = 64 * 1024
_QUIET_SECONDS = 0.5


class TooSlow(Exception):
    """It did not end in time."""


class TooMuch(Exception):
    """It said more than anybody wants to hold in memory."""


def talk(process: subprocess.Popen[bytes], stdin: bytes, seconds: float, most: int) -> tuple[bytes, bytes]:
    """Give it ``stdin``; what it wrote to stdout and the beginning of what it wrote to stderr, once it has ended. A process
    that exceeds its bounds is ended with its whole session (it must lead one)."""
    assert process.stdin and process.stdout and process.stderr, "started with pipes"
    try:
        return _talk(process, stdin, time.monotonic() + seconds, most)
    except BaseException:
        _end(process)
        raise
    finally:
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):  # it went away before it had read everything
                stream.close()
        process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _talk(process: subprocess.Popen[bytes], stdin: bytes, deadline: float, most: int) -> tuple[bytes, bytes]:
    assert process.stdin and process.stdout and process.stderr, "started with pipes"
    said: list[bytes] = []
    size = 0
    errors = bytearray()
    rest = memoryview(stdin)
    with selectors.DefaultSelector() as open_ends:
        open_ends.register(process.stdout, selectors.EVENT_READ)
        open_ends.register(process.stderr, selectors.EVENT_READ)
        if rest:
            os.set_blocking(process.stdin.fileno(), False)
            open_ends.register(process.stdin, selectors.EVENT_WRITE)
        else:
            process.stdin.close()
        while open_ends.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise TooSlow
            ready = open_ends.select(min(left, _QUIET_SECONDS))
            if not ready and process.poll() is not None:
                _end(process)  # killed, and a helper of it holds the ends open
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    try:
                        rest = rest[os.write(key.fd, rest[:_PART]) :]
                    except BrokenPipeError:
                        rest = memoryview(b"")
                    if not rest:
                        open_ends.unregister(process.stdin)
                        process.stdin.close()
                    continue
                part = os.read(key.fd, _PART)
                if not part:
                    open_ends.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    said.append(part)
                    size += len(part)
                    if size > most:
                        raise TooMuch
                else:
                    errors += part[: max(0, _MOST_ERRORS - len(errors))]
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        raise TooSlow from None
    return b"".join(said), bytes(errors)
