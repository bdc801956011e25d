"""Owns a git that stays and answers for small objects at once; refuses to be the last word: whoever gets no answer asks
git anew."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading

from service.adapters.git.command import Git, bound

_SECONDS = 10.0
_HEADER = 200
"""Bytes: more than ``<oid> <type> <size>`` ever has."""


class Catalogue:
    """A long-lived ``git cat-file`` that says what there is, and one that reads it: starting git costs twenty times as
    much as an answer of a running one. Thread-safe."""

    def __init__(self, git: Git) -> None:
        self._lock = threading.Lock()
        self._looking = _Lasting(git, "--batch-check")
        self._reading = _Lasting(git, "--batch")

    def read(self, oid: str, kind: str, most: int) -> bytes | None:
        """The content of an object of this kind with at most ``most`` bytes; ``None`` for anything else, also for what is
        missing: it may have come since, and a mirror that was made anew is another repository."""
        question = f"{oid}\n".encode()
        with self._lock:
            try:
                fields = self._looking.header(question).split()
                if len(fields) != 3 or fields[1] != kind.encode() or int(fields[2]) > most:
                    return None
                if self._reading.header(question).split() != fields:
                    raise ValueError("git cat-file answered another question")
                return self._reading.content(int(fields[2]))
            except (OSError, ValueError):  # it died, or says what cannot be
                self._end()
                return None

    def close(self) -> None:
        """End both; a later question starts them anew."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        self._looking.end()
        self._reading.end()


class _Lasting:
    """One process, started when first asked."""

    def __init__(self, git: Git, flag: str) -> None:
        self._git = git
        self._flag = flag
        self._process: subprocess.Popen[bytes] | None = None
        self._said = bytearray()

    def header(self, question: bytes) -> bytes:
        """Ask; the first line of the answer."""
        process = self._started()
        assert process.stdin is not None, "started with pipes"
        process.stdin.write(question)
        process.stdin.flush()
        while b"\n" not in self._said:
            if len(self._said) > _HEADER:
                raise OSError("git cat-file says what it never says")
            self._hear(process)
        line, _, rest = self._said.partition(b"\n")
        self._said = rest
        return bytes(line)

    def content(self, size: int) -> bytes:
        """The rest of the answer: so many bytes, and the line end after them."""
        assert self._process is not None, "it was asked just now"
        while len(self._said) <= size:
            self._hear(self._process)
        found = bytes(self._said[:size])
        del self._said[: size + 1]
        return found

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "started with pipes"
        ready, _, _ = select.select([process.stdout], [], [], _SECONDS)
        part = os.read(process.stdout.fileno(), 1 << 16) if ready else b""
        if not part:
            raise OSError("git cat-file ended or hangs")
        self._said += part

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = subprocess.Popen(
                ["git", "cat-file", self._flag],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._git.environment(),
            )
            bound(self._process)
        return self._process

    def end(self) -> None:
        self._said.clear()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            self._process = None
