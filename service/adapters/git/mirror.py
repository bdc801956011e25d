"""Owns a bare mirror of one remote: made atomically, fetched under a lock, blobless where the remote allows; refuses
URLs from anywhere but configuration."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import git as gitpython

from service.adapters.git.catalogue import lines
from service.adapters.git.command import Git
from service.adapters.git.objects import Objects
from service.adapters.git.orphans import end_orphans
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
_ABBREVIATED = re.compile(r"[0-9a-f]{4,63}")
_LOST_BLOBS = 32
"""Fetches that are spent on finding which blobs of a batch the remote no longer has."""
_PATIENCE, _LOOK_SECONDS, _LOOKS_BETWEEN = 60.0, 0.05, 20


class Mirror(Objects):
    """Implements the repository port over the network."""

    def __init__(self, folder: Path, url: str, *, token: str = "", protocols: Sequence[str] = ("https",)) -> None:
        remote, credential = _without_credential(url)
        if token and not credential:
            credential = f"x-access-token:{token}"
        super().__init__(Git(folder, protocols, remote, credential))
        self._folder = folder
        self._threads = threading.RLock()
        self._held: tuple[int, ...] = ()

    def fetch(self, *shas: str) -> Mapping[str, str]:
        """Bring every ref up to date; each of ``shas`` is readable afterwards, else ``Retry``."""
        with self._locked():
            if not ((self._folder / "HEAD").exists() and (self._folder / "config").exists()):
                self._make_anew()
            else:
                self._sweep()
                try:
                    self._fetch_refs(self.git)
                except Refused:
                    self._make_anew()
            for sha in shas:
                self._ensure(sha)
        return self.refs()

    def resolve(self, revision: str) -> str:
        if is_sha(revision):
            return self.commit(revision).sha
        refs = self.refs()
        for name in (revision, f"refs/heads/{revision}", f"refs/tags/{revision}"):
            if name in refs:
                return refs[name]
        if _ABBREVIATED.fullmatch(revision):
            with contextlib.suppress(Refused):
                found = self.git.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", act="resolving")
                return found.decode().strip()
        raise Refused(f"resolving {shown(revision)[:100]}: {self._name} has no such branch, tag or commit")

    def prefetch(self, oids: Sequence[str]) -> None:
        """One fetch for all the blobs that a blobless mirror lacks (for all of these, if nobody says which), instead of one for
        each. What the remote lost since (forced pushes, and its own cleaning) stays missing."""
        missing = self._catalogue.lacks(oids)
        if missing:
            with self._locked():
                waiting, left = [missing], _LOST_BLOBS
                while waiting and left:
                    batch, left = waiting.pop(0), left - 1
                    if not self._fetch_blobs(batch) and len(batch) > 1:
                        middle = len(batch) // 2
                        waiting += [batch[:middle], batch[middle:]]

    def _fetch_blobs(self, oids: Sequence[str]) -> bool:
        """Whether the remote had all of them: it gives all or none."""
        try:
            self.git.run(
                "-c", "fetch.negotiationAlgorithm=noop", *_FETCH, "--stdin", "origin", holding=self._held,
                act=f"fetching blobs of {self._name}", stdin=lines(oids), long=True,
            )  # fmt: skip
        except Refused:
            return False
        return True

    @property
    def _name(self) -> str:
        return self._folder.name.removesuffix(".git").replace("__", "/")

    def _fetch_refs(self, git: Git) -> None:
        act = f"fetching {self._name}"
        git.run(*_FETCH, "--prune", "origin", *_REFSPECS, act=act, long=True, holding=self._held)

    def _ensure(self, sha: str) -> None:
        with contextlib.suppress(Refused):
            self.commit(sha)
            return
        self._fetch_commit(sha)
        try:
            self.commit(sha)
        except Refused:
            if self._kind(sha) not in (None, "commit", "tag"):
                raise
            self._make_anew()  # git says that it has what it cannot read
            self._fetch_commit(sha)
            self.commit(sha)

    def _fetch_commit(self, sha: str) -> None:
        try:
            self.git.run(*_FETCH, "origin", sha, act=f"fetching {short(sha)}", long=True, holding=self._held)
        except Refused as error:
            raise Retry(f"fetching {short(sha)} of {self._name}: the remote does not have it yet") from error

    def _kind(self, oid: str) -> str | None:
        flags = ("cat-file", "--batch-check=%(objecttype)")
        said = self.git.run(*flags, act=f"looking at {short(oid)}", stdin=f"{oid}\n".encode()).decode().strip()
        return None if said.endswith("missing") else said

    def _make_anew(self) -> None:
        """Where there is no mirror, or one that git cannot read: the folder appears whole and fetched, or not at all. If
        the remote is what says no, what we have is kept."""
        making, broken = (self._folder.with_name(f"{self._folder.name}.{what}") for what in ("making", "broken"))
        for old in (making, broken):
            shutil.rmtree(old, ignore_errors=True)
        making.parent.mkdir(parents=True, exist_ok=True)
        try:
            repository = gitpython.Repo.init(making, bare=True, mkdir=True)
            with repository.config_writer() as config:
                config.set_value("core", "logAllRefUpdates", "false")
                config.set_value("core", "fsync", "-reference")  # 17,000 refs took 39 s; a lost one is fetched again
            repository.close()
            git = replace(self.git, folder=making)
            self._fetch_refs(git)
            git.run("pack-refs", "--all", act=f"packing refs of {self._name}", long=True)
            if self._folder.exists():
                self._folder.rename(broken)
            making.rename(self._folder)
        finally:
            for left in (making, broken):
                shutil.rmtree(left, ignore_errors=True)
        self.close()  # a diff-tree over the files that are gone

    def _sweep(self) -> None:
        """What a killed git left behind, locks and half-received packs; nobody else writes here while we hold our own
        lock, since each git that writes holds it too."""
        packs = self._folder / "objects" / "pack"
        for path in (*self._folder.glob("*.lock"), *(self._folder / "refs").rglob("*.lock"), *packs.glob("tmp_*")):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time, across threads and processes. The kernel drops the lock when the last process that holds
        it ends: we, or a git that goes on after we were killed, which whoever waits then ends."""
        with self._threads:
            if self._held:
                yield
                return
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._folder.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                self._lock_file(descriptor)
                self._held = (descriptor,)
                yield
            finally:
                self._held = ()
                os.close(descriptor)

    def _lock_file(self, descriptor: int) -> None:
        patience = time.monotonic() + _PATIENCE
        for look in itertools.count():
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if look % _LOOKS_BETWEEN == 0:
                    end_orphans(self._folder)
                if time.monotonic() > patience:
                    raise Retry(f"fetching {self._name}: another process is still fetching it") from None
                time.sleep(_LOOK_SECONDS)


def _without_credential(url: str) -> tuple[str, str]:
    """The URL without ``user:password@``, which git would show in argument lists and keep in its configuration."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or "@" not in parts.netloc:
        return url, ""
    person, _, host = parts.netloc.rpartition("@")
    user, _, password = person.partition(":")
    return parts._replace(netloc=host).geturl(), f"{unquote(user)}:{unquote(password)}"
