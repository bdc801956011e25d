"""Owns a git that stays and answers for small objects at once; refuses to be the last word: whoever gets no answer asks
git anew."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

from service.adapters.git.command import Git, bound

_SECONDS = 10.0
_HEADER = 200
"""Bytes: more than ``<oid> <type> <size>`` ever has."""
_AT_ONCE = 256
"""Questions that wait in a pipe without filling it, however long the answers are."""


def lines(oids: Iterable[str]) -> bytes:
    """What a git that reads object names is given."""
    return "".join(f"{oid}\n" for oid in oids).encode()


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
        return self.read_all([oid], kind, most).get(oid)

    def read_all(self, oids: Sequence[str], kind: str, most: int) -> Mapping[str, bytes]:
        """The contents of those of which ``read`` has one."""
        found: dict[str, bytes] = {}
        for start in range(0, len(oids), _AT_ONCE):
            found |= self._read_some(oids[start : start + _AT_ONCE], kind.encode(), most)
        return found

    def _read_some(self, oids: Sequence[str], kind: bytes, most: int) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        with self._lock:
            try:
                there = [
                    (oid, said)
                    for oid, said in zip(oids, self._looking.headers(oids), strict=True)
                    if len(said) == 3 and said[1] == kind and int(said[2]) <= most
                ]
                for (oid, said), again in zip(there, self._reading.headers([oid for oid, _ in there]), strict=True):
                    if said != again:
                        raise ValueError("git cat-file answered another question")
                    found[oid] = self._reading.content(int(said[2]))
            except (OSError, ValueError):  # it died, or says what cannot be
                self._end()
        return found

    def lacks(self, oids: Sequence[str]) -> Sequence[str]:
        """Which of these are missing: all of them, if nobody says which."""
        found: list[str] = []
        for start in range(0, len(oids), _AT_ONCE):
            some = oids[start : start + _AT_ONCE]
            with self._lock:
                try:
                    found += [
                        oid
                        for oid, said in zip(some, self._looking.headers(some), strict=True)
                        if said[1:] == [b"missing"]
                    ]
                except (OSError, ValueError):
                    self._end()
                    return oids
        return found

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

    def headers(self, oids: Sequence[str]) -> Iterator[Sequence[bytes]]:
        """Ask of at most ``_AT_ONCE``; the fields of the first line of each answer, in order. Where a content follows, it is to
        be taken before the next."""
        process = self._started()
        assert process.stdin is not None, "started with pipes"
        process.stdin.write(lines(oids))
        process.stdin.flush()
        for _ in oids:
            while b"\n" not in self._said:
                if len(self._said) > _HEADER:
                    raise OSError("git cat-file says what it never says")
                self._hear(process)
            line, _, self._said = self._said.partition(b"\n")
            yield bytes(line).split()

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
