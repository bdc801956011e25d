"""Owns reading what a repository has: refs, commits, trees, differences, blobs, exports; refuses the network."""

from __future__ import annotations

import os
import re
import secrets
import select
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from service.adapters.git.catalogue import Catalogue, lines
from service.adapters.git.command import MOST, Git, bound
from service.adapters.git.diff import decode, parse_raw, parse_tree
from service.domain.change import Change, FileChange
from service.domain.errors import Refused, Retry
from service.domain.names import is_sha, short, shown
from service.domain.tree import Tree
from service.ports.git_host import Commit

_EMPTY_TREE = {
    40: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    64: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
_TREES = 8
_LONGEST_PATH, _DEEPEST_PATH = 4_096, 200
"""Bytes and folders: what is beyond cannot be checked out, or was made to exhaust whoever lists it."""
_LARGEST_COMMIT = 4 * 1024 * 1024
_DIFF_SECONDS = 120.0
_BATCH = 64
_PERSON = re.compile(r"^(?P<name>.*?) ?<[^>]*> ?(?P<time>\d{1,20})?(?: |$)")
_LAST_SECOND = 253_402_300_799
"""Of the year 9999: Python knows no later one, and a commit may claim any."""


class Objects:
    """One repository's objects. Thread-safe. Every revision is a full SHA."""

    def __init__(self, git: Git) -> None:
        self.git = git
        self._differ = _Differ(git)
        self._catalogue = Catalogue(git)
        self._lock = threading.Lock()
        self._trees: OrderedDict[str, Tree] = OrderedDict()

    def close(self) -> None:
        self._differ.close()
        self._catalogue.close()

    def refs(self) -> Mapping[str, str]:
        """Ref → SHA, tags peeled to their commits."""
        fields = "%(refname)%00%(objectname)%00%(*objectname)"
        output = self.git.run("for-each-ref", f"--format={fields}", act=f"listing refs of {self.git.folder.name}")
        rows = (line.split(b"\0") for line in output.splitlines())
        return {decode(name): (peeled or oid).decode() for name, oid, peeled in rows}

    def commit(self, sha: str) -> Commit:
        """The commit's header; ``Refused`` if it is not here."""
        content = self._catalogue.read(_full(sha), "commit", _LARGEST_COMMIT)
        try:
            if content is None:  # also a tag's SHA: git follows it
                act = f"reading commit {short(sha)}"
                content = self.git.run("cat-file", "commit", sha, act=act, most=_LARGEST_COMMIT)
        except Refused as error:
            raise Refused(f"reading commit {short(sha)}: the repository has no such commit that can be read") from error
        head, _, message = content.decode("utf-8", "replace").partition("\n\n")
        rows = [line.partition(" ") for line in head.splitlines()]
        fields = {name: value for name, _, value in reversed(rows)}
        author, committer = (_PERSON.match(fields.get(name, "")[:12_000]) for name in ("author", "committer"))
        subject = message.strip().partition("\n")[0]
        seconds = int(committer.group("time") or 0) if committer else 0
        if not is_sha(fields.get("tree", "")):
            raise Refused(f"reading commit {short(sha)}: it names no tree")
        return Commit(
            sha=sha,
            tree=fields["tree"],
            author=shown(author.group("name") if author else "")[:200],
            message=shown(subject)[:200],
            committed_at=datetime.fromtimestamp(min(seconds, _LAST_SECOND), UTC),
            parents=tuple(value for name, _, value in rows if name == "parent"),
        )

    def tree(self, sha: str) -> Tree:
        """Every file of a commit, from a neighbour in memory if there is one."""
        oid = self.commit(sha).tree
        with self._lock:
            known = self._trees.get(oid)
            near = next(reversed(self._trees.items()), None)
        if known is None:
            if near is not None:
                known = near[1].apply((change.path, change.new) for change in self._between(near[0], oid))
            else:
                files = parse_tree(self.git.run("ls-tree", "-r", "-z", "--full-tree", oid, act="listing a tree"))
                _bounded(files)
                known = Tree(files)
        with self._lock:
            self._trees[oid] = known
            self._trees.move_to_end(oid)
            while len(self._trees) > _TREES:
                self._trees.popitem(last=False)
        return known

    def compare(self, base: str | None, head: str) -> Change:
        """Tree to tree; ``base=None`` is the empty tree."""
        new = self.commit(head).tree
        old = self.commit(base).tree if base else _EMPTY_TREE[len(head)]
        return Change(base, head, self._between(old, new) if old != new else ())

    def _between(self, old: str, new: str) -> tuple[FileChange, ...]:
        changes = self._differ.between(old, new)
        _bounded(change.path for change in changes)
        return changes

    def merge_base(self, one: str, other: str) -> str | None:
        _full(one), _full(other)
        try:
            found = self.git.run("merge-base", one, other, act="finding the merge base")
        except Refused:
            return None
        return found.decode().split("\n", 1)[0] or None

    def blobs(self, oids: Sequence[str], limit: int) -> Mapping[str, bytes | None]:
        """Contents in one batch; ``None`` for what is missing or larger than ``limit``."""
        asked = [_full(oid) for oid in dict.fromkeys(oids)]
        found: dict[str, bytes | None] = {**dict.fromkeys(asked), **self._catalogue.read_all(asked, "blob", limit)}
        wanted = [oid for oid, content in found.items() if content is None]
        if not wanted:
            return found
        self.prefetch(wanted)
        sizes = self._sizes(wanted)
        small = [oid for oid in wanted if 0 <= sizes.get(oid, -1) <= limit]
        for start in range(0, len(small), _BATCH):
            some = small[start : start + _BATCH]
            most = sum(sizes[oid] + 100 for oid in some)
            output = self.git.run("cat-file", "--batch", act="reading blobs", stdin=lines(some), long=True, most=most)
            found.update(_batch(output))
        return found

    def prefetch(self, oids: Sequence[str]) -> None:
        """Have these blobs at hand; a complete repository has them."""

    def export(self, sha: str, target: Path) -> None:
        """Write the commit's files below ``target``, byte for byte as step keys know them: a checkout, since ``git
        archive`` would drop ``export-ignore``d files, but one that converts no line ends and runs no filter. Links are
        written as links and never followed."""
        tree = self.tree(sha)
        self.prefetch(sorted({e.oid for path in tree.under("") if (e := tree.get(path)) and e.mode != "160000"}))
        with tempfile.TemporaryDirectory(prefix="refit-export-") as folder:
            objects = {"GIT_OBJECT_DIRECTORY": str(self.git.folder / "objects"), "GIT_WORK_TREE": str(target)}
            git, act = Git(_plain_repository(Path(folder), sha)), f"exporting {short(sha)}"
            git.run("read-tree", sha, act=act, more=objects, long=True)
            git.run("checkout-index", "--all", "--force", act=act, more=objects, long=True)

    def _sizes(self, oids: Iterable[str]) -> dict[str, int]:
        output = self.git.run("cat-file", "--batch-check", act="reading blob sizes", stdin=lines(oids), long=True)
        rows = (line.split() for line in output.decode().splitlines())
        return {row[0]: int(row[2]) for row in rows if len(row) == 3 and row[1] == "blob"}


def _plain_repository(folder: Path, sha: str) -> Path:
    """A git directory without any configuration or attributes but its own, which beat those of the commit."""
    for name in ("refs", "info"):
        (folder / name).mkdir()
    (folder / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
    format = "[core]\nrepositoryformatversion = 1\n[extensions]\nobjectFormat = sha256\n" if len(sha) == 64 else ""
    (folder / "config").write_text(format, encoding="ascii")
    (folder / "info" / "attributes").write_text(
        "* -text !eol !crlf -ident !filter !working-tree-encoding\n", encoding="ascii"
    )
    return folder


def _full(sha: str) -> str:
    if not is_sha(sha):
        raise Refused(f"reading {shown(sha)[:60]}: it is not a full object name")
    return sha


def _bounded(paths: Iterable[str]) -> None:
    for path in paths:
        if len(path) > _LONGEST_PATH or path.count("/") > _DEEPEST_PATH:
            raise Refused(
                f"listing a tree: {shown(path)[:60]}… is {len(path)} characters long and {path.count('/')} folders deep; "
                f"Refit reads paths of at most {_LONGEST_PATH} and {_DEEPEST_PATH}"
            )


def _batch(output: bytes) -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    at = 0
    while at < len(output):
        end = output.index(b"\n", at)
        header = output[at:end].split()
        at = end + 1
        if len(header) == 3:
            size = int(header[2])
            found[header[0].decode()] = output[at : at + size]
            at += size + 1
    return found


class _Differ:
    """A long-lived ``git diff-tree --stdin``: twenty times cheaper than starting git for each push."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._sentinel = f"refit-{secrets.token_hex(16)}"

    def between(self, old: str, new: str) -> tuple[FileChange, ...]:
        """Changes from one tree to another, by tree OID."""
        with self._lock:
            try:
                return parse_raw(self._ask(old, new))
            except (OSError, ValueError):  # it died, or its view of packs went stale
                self._end()
        return parse_raw(self._git.run("diff-tree", *_DIFF, old, new, act="comparing two trees", long=True))

    def _ask(self, old: str, new: str) -> bytes:
        process = self._started()
        assert process.stdin is not None and process.stdout is not None, "started with pipes"
        process.stdin.write(f"{old} {new}\n{self._sentinel}\n".encode())  # the second line makes git flush
        process.stdin.flush()
        end = f"{self._sentinel}\n".encode()
        head = f"{old} {new}\n".encode()
        output = bytearray()
        deadline = time.monotonic() + _DIFF_SECONDS
        while not output.endswith(end):
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready or len(output) > MOST:
                self._end()
                if ready:
                    raise Refused(f"comparing two trees: git's answer is larger than {MOST} bytes")
                raise Retry("comparing two trees: git took too long")
            part = os.read(process.stdout.fileno(), 1 << 16)
            if not part:
                raise OSError("git diff-tree ended")
            output += part
        body = bytes(output[: -len(end)])
        if not body.startswith(head):  # nothing at all: it could not read one of the two
            raise ValueError("git diff-tree did not answer")
        return body[len(head) :]

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                ["git", "diff-tree", "--stdin", *_DIFF],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._git.environment(),
            )
            bound(self._process)
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    stream.close()
            self._process = None

    def close(self) -> None:
        with self._lock:
            self._end()


_DIFF = ("-r", "-z", "--raw", "--no-renames", "--no-abbrev", "--ignore-submodules=none")
