"""Git that is killed, stalls, or is given more than anybody can hold: an answer each time, and nothing left running."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.git.mirror import Mirror
from service.cli.demo.git_server import run_git
from service.domain.errors import Refused, Retry
from tests.crash.stand import children, kill, until

ROOT = Path(__file__).resolve().parents[2]


class SilentRemote:
    """Accepts connections and never answers, while ``is_silent``; afterwards it hangs up."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/acme/sums.git"
        self.connections: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self.connections.append(self._socket.accept()[0])
            except OSError:
                return

    def close(self) -> None:
        self._socket.close()
        for one in self.connections:
            one.close()


@pytest.fixture
def silent() -> Iterator[SilentRemote]:
    remote = SilentRemote()
    yield remote
    remote.close()


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    folder = tmp_path / "made.git"
    run_git("init", "--quiet", "--bare", "--initial-branch=main", str(folder))
    return folder


def fetches(folder: Path) -> list[int]:
    """Git processes that work on a mirror."""
    wanted = {f"GIT_DIR={folder}{more}".encode() for more in ("", ".making")}
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted & {*(entry / "environ").read_bytes().split(b"\0")}:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def test_git_that_outlives_a_killed_service_is_ended_before_the_next_fetch(
    silent: SilentRemote, tmp_path: Path
) -> None:
    folder = tmp_path / "acme__sums.git"
    script = (
        "import pathlib, sys; from service.adapters.git.mirror import Mirror; "
        "Mirror(pathlib.Path(sys.argv[1]), sys.argv[2], protocols=('http',)).fetch()"
    )
    first = subprocess.Popen([sys.executable, "-c", script, str(folder), silent.url], cwd=ROOT)
    until(lambda: silent.connections and fetches(folder), "git waits for the remote")
    kill(first)
    orphans = fetches(folder)
    assert orphans, "git has no reason to end by itself yet"
    answered = tmp_path / "answered.git"
    run_git("init", "--quiet", "--bare", str(answered))
    mirror = Mirror(folder, str(answered), protocols=("file",))
    assert mirror.fetch() == {}
    assert not set(orphans) & set(fetches(folder))
    mirror.close()


def test_git_killed_in_mid_fetch_is_worth_another_try(silent: SilentRemote, tmp_path: Path) -> None:
    folder = tmp_path / "acme__sums.git"
    mirror = Mirror(folder, silent.url, protocols=("http",))
    failures: list[Exception] = []

    def fetch() -> None:
        try:
            mirror.fetch()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=fetch)
    thread.start()
    until(lambda: silent.connections, "git waits for the remote")
    for pid in fetches(folder):
        if pid in children(os.getpid()):  # its helper, which holds the same pipes, is left
            os.kill(pid, signal.SIGKILL)
    thread.join(60)
    assert isinstance(failures[0], Retry)
    assert "ended by SIGKILL" in str(failures[0])
    mirror.close()


# what a small push can make git say -----------------------------------------------------------------------------------


def plumb(bare: Path, *words: str, stdin: bytes = b"") -> str:
    done = subprocess.run(["git", *words], cwd=bare, input=stdin, capture_output=True, check=True)
    return done.stdout.decode().strip()


def blob(bare: Path, content: bytes) -> str:
    return plumb(bare, "hash-object", "-w", "--stdin", stdin=content)


def tree(bare: Path, entries: list[tuple[str, str, str]]) -> str:
    lines = "".join(f"{kind} {oid}\t{name}\0" for kind, oid, name in entries)
    return plumb(bare, "mktree", "-z", stdin=lines.encode())


def commit_tree(bare: Path, oid: str, author: str = "A <a@example.org> 1 +0000", committer: str = "") -> str:
    body = f"tree {oid}\nauthor {author}\ncommitter {committer or author}\n\nmessage\n"
    sha = plumb(bare, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=body.encode())
    plumb(bare, "update-ref", f"refs/heads/{sha}", sha)
    return sha


def bomb(bare: Path, levels: int) -> str:
    """A tree of ten to the power of ``levels`` files, in as many objects."""
    oid = tree(bare, [("100644 blob", blob(bare, b"x"), f"f{n}") for n in range(10)])
    for _ in range(levels - 1):
        oid = tree(bare, [("040000 tree", oid, f"d{n}") for n in range(10)])
    return oid


def chain(bare: Path, depth: int) -> str:
    oid = tree(bare, [("100644 blob", blob(bare, b"x"), "f")])
    for _ in range(depth):
        oid = tree(bare, [("040000 tree", oid, "d")])
    return oid


@pytest.mark.parametrize("kind", ["bomb", "chain"])
def test_a_tree_that_nobody_can_hold_is_refused(bare: Path, tmp_path: Path, kind: str) -> None:
    small = commit_tree(bare, tree(bare, [("100644 blob", blob(bare, b"x"), "a")]))
    big = commit_tree(bare, bomb(bare, 10) if kind == "bomb" else chain(bare, 300))
    mirror = Mirror(tmp_path / "mirror.git", str(bare), protocols=("file",))
    mirror.fetch()
    for ask in (lambda: mirror.tree(big), lambda: mirror.compare(small, big), lambda: mirror.compare(None, big)):
        with pytest.raises(Refused, match=r"larger than|folders deep|out of memory"):
            ask()
    assert [*mirror.tree(small).under("")] == ["a"], "the next question is answered as ever"
    mirror.close()


def test_an_author_made_to_keep_a_pattern_busy(bare: Path, tmp_path: Path) -> None:
    sha = commit_tree(bare, tree(bare, [("100644 blob", blob(bare, b"x"), "a")]), "<" * 300_000)
    mirror = Mirror(tmp_path / "mirror.git", str(bare), protocols=("file",))
    mirror.fetch()
    assert mirror.commit(sha).author == ""
    mirror.close()


def test_a_commit_with_an_endless_message_is_refused(bare: Path, tmp_path: Path) -> None:
    oid = tree(bare, [("100644 blob", blob(bare, b"x"), "a")])
    body = f"tree {oid}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\n".encode() + b"m" * 6_000_000
    sha = plumb(bare, "hash-object", "-t", "commit", "-w", "--stdin", stdin=body)
    plumb(bare, "update-ref", "refs/heads/main", sha)
    mirror = Mirror(tmp_path / "mirror.git", str(bare), protocols=("file",))
    mirror.fetch()
    with pytest.raises(Refused, match="reading commit"):
        mirror.commit(sha)
    mirror.close()


def delta_bomb(bare: Path, size: int) -> None:
    """A branch with a file that a pack of some kilobytes describes as so many zeros: copies of one base, again and again. The
    pack's index is written here, since git would make the file to write it; nobody looks whether its name is true."""
    base, piece = b"\0" * 0xFFFFFF, 0xFFFFFF
    copies, rest = divmod(size, piece)
    delta = varint(len(base)) + varint(copies * piece) + b"\xf0\xff\xff\xff" * copies
    assert not rest
    name = b"\xbb" * 20
    listed = b"100644 base\0" + oid("blob", base) + b"100644 zeros\0" + name  # both are sent, so the one as it is
    shown = oid("tree", listed).hex()
    said = f"tree {shown}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nzeros\n".encode()
    objects = [
        (oid("commit", said), 1, said, b""),
        (oid("tree", listed), 2, listed, b""),
        (oid("blob", base), 3, base, b""),
        (name, 7, delta, oid("blob", base)),
    ]
    pack, found = b"PACK" + struct.pack(">II", 2, len(objects)), []
    for called, kind, content, of in objects:
        head = varint(len(content) >> 4)
        entry = bytes([kind << 4 | len(content) & 15 | 128]) + head + of + zlib.compress(content)
        found.append((called, zlib.crc32(entry), len(pack)))
        pack += entry
    pack += hashlib.sha1(pack).digest()
    found.sort()
    index = b"\xfftOc" + struct.pack(">I", 2)
    index += b"".join(struct.pack(">I", sum(called[0] <= first for called, _, _ in found)) for first in range(256))
    index += b"".join(called for called, _, _ in found)
    index += b"".join(struct.pack(">I", crc) for _, crc, _ in found)
    index += b"".join(struct.pack(">I", at) for _, _, at in found) + pack[-20:]
    index += hashlib.sha1(index).digest()
    at = bare / "objects" / "pack" / f"pack-{pack[-20:].hex()}"
    at.with_suffix(".pack").write_bytes(pack)
    at.with_suffix(".idx").write_bytes(index)
    plumb(bare, "update-ref", "refs/heads/main", oid("commit", said).hex())


def varint(number: int) -> bytes:
    """Seven bits a byte, the low ones first."""
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


def oid(kind: str, content: bytes) -> bytes:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).digest()


def test_a_file_that_nobody_can_hold_is_not_fetched(bare: Path, tmp_path: Path) -> None:
    delta_bomb(bare, 0xFFFFFF * 320)  # 5 GB
    mirror = Mirror(tmp_path / "mirror.git", str(bare), protocols=("file",))
    with pytest.raises(Refused, match=r"[Oo]ut of memory"):
        mirror.fetch()
    mirror.close()
