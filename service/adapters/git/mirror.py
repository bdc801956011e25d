"""Owns a bare mirror of one remote: made atomically, fetched under a lock, blobless where the remote allows; refuses
URLs from anywhere but configuration."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import git as gitpython

from service.adapters.git.command import Git
from service.adapters.git.diff import decode
from service.adapters.git.objects import Objects
from service.domain.errors import Refused, Retry
from service.domain.names import is_sha, short, shown

_REFSPECS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", "+refs/pull/*/head:refs/pull/*/head")
_PARTIAL = ("-c", "remote.origin.promisor=true", "-c", "remote.origin.partialclonefilter=blob:none")
"""Given to fetches only: elsewhere a missing object is missing, instead of one slow fetch for each."""
_FETCH = (
    *_PARTIAL,
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--recurse-submodules=no",
)


class Mirror(Objects):
    """Implements the repository port over the network."""

    def __init__(self, folder: Path, url: str, *, token: str = "", protocols: Sequence[str] = ("https",)) -> None:
        super().__init__(Git(folder, protocols, token))
        self._folder = folder
        self._url = url
        self._threads = threading.RLock()

    def fetch(self, *shas: str) -> Mapping[str, str]:
        """Bring every ref up to date; each of ``shas`` is readable afterwards, else ``Retry``."""
        with self._locked():
            self._make()
            self._sweep_locks()
            self.git.run(*_FETCH, "--prune", "origin", *_REFSPECS, act=f"fetching {self._name}", long=True)
            for sha in shas:
                self._ensure(sha)
        return self.refs()

    def refs(self) -> Mapping[str, str]:
        """Ref → SHA as of the last fetch; tags peeled to their commits."""
        fields = "%(refname)%00%(objectname)%00%(*objectname)"
        output = self.git.run("for-each-ref", f"--format={fields}", act=f"listing refs of {self._name}")
        found = {}
        for line in output.splitlines():
            name, oid, peeled = line.split(b"\0")
            found[decode(name)] = (peeled or oid).decode()
        return found

    def resolve(self, revision: str) -> str:
        if is_sha(revision):
            return self.commit(revision).sha
        refs = self.refs()
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in refs:
                return refs[name]
        raise Refused(f"resolving {shown(revision)[:100]}: {self._name} has no such branch, tag or full SHA")

    def prefetch(self, oids: Sequence[str]) -> None:
        """One fetch for all the blobs that a blobless mirror lacks, instead of one for each."""
        flags = ("cat-file", "--batch-check=%(objectname) %(objecttype)")
        stdin = "".join(f"{oid}\n" for oid in oids).encode()
        output = self.git.run(*flags, act="looking for blobs", stdin=stdin, long=True)
        missing = [line.split()[0] for line in output.splitlines() if line.endswith(b" missing")]
        if missing:
            with self._locked():
                self.git.run(
                    "-c", "fetch.negotiationAlgorithm=noop", *_FETCH, "--stdin", "origin",
                    act=f"fetching blobs of {self._name}", stdin=b"\n".join(missing) + b"\n", long=True,
                )  # fmt: skip

    @property
    def _name(self) -> str:
        return self._folder.name.removesuffix(".git").replace("__", "/")

    def _ensure(self, sha: str) -> None:
        try:
            self.commit(sha)
        except Refused:
            try:
                self.git.run(*_FETCH, "origin", sha, act=f"fetching {short(sha)}", long=True)
                self.commit(sha)
            except (Refused, Retry) as error:
                raise Retry(f"fetching {short(sha)} of {self._name}: the remote does not have it yet") from error

    def _make(self) -> None:
        """The mirror's folder appears whole or not at all; one that git cannot read is made anew."""
        if (self._folder / "HEAD").exists() and (self._folder / "config").exists():
            return
        making = self._folder.with_name(f"{self._folder.name}.making")
        shutil.rmtree(making, ignore_errors=True)
        shutil.rmtree(self._folder, ignore_errors=True)
        making.parent.mkdir(parents=True, exist_ok=True)
        repository = gitpython.Repo.init(making, bare=True, mkdir=True)
        with repository.config_writer() as config:
            config.set_value('remote "origin"', "url", self._url)
            config.set_value("core", "logAllRefUpdates", "false")
        repository.close()
        making.rename(self._folder)

    def _sweep_locks(self) -> None:
        """Lock files that a killed git left behind; nobody else writes here while we hold our own lock."""
        for path in (*self._folder.glob("*.lock"), *(self._folder / "refs").rglob("*.lock")):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, across threads and processes; the kernel drops the lock of a process that dies."""
        with self._threads:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)
