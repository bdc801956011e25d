"""Owns the process that a repository's own ``pipeline.py`` runs in: namespaces of its own, a fixed path, limits, no secrets;
refuses to read what it answers.

The strongest way that this machine allows is found by trying it. Where it allows no namespaces, nothing runs unless the operator
has said so: then the process still has limits, a clean environment and an end, and the service's network and files in reach.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

SECONDS = 300.0
"""Wall time of one compile: the larger SDK imports in 4 seconds, and a busy machine is ten times slower."""
_CPU_SECONDS = 240
_MEMORY = 8 * 1024**3
_LARGEST_FILE = 2 * 1024**3
_OPEN_FILES = 1024
PLACE = "/mnt/refit"
"""Where the checkout lies for the code in the sandbox, on every machine: SDK 2 hashes absolute paths into its keys."""
_TRY_SECONDS = 20.0
_UNSHARE = ("unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child")
_WAYS: tuple[tuple[str, ...], ...] = (
    (*_UNSHARE, "--user", "--map-root-user", "--mount-proc"),
    (*_UNSHARE, "--mount-proc"),
    (*_UNSHARE, "--user", "--map-root-user"),
    _UNSHARE,
)
_MARK = "REFIT_COMPILE"
_SHELL = f"""set -e
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir {PLACE}
mount --rbind "$1" {PLACE}
shift
sealed() {{
  mount --rbind "$1" "$1"
  mounts=$(findmnt -nlR -o VFS-OPTIONS,TARGET "$1")
  printf '%s\\n' "$mounts" | while read -r options at; do mount -o "remount,bind,$options,ro" "$at" || [ ! -x "$at" ]; done
}}
writable() {{
  mount --rbind "$1" "$1"
  options=$(findmnt -no VFS-OPTIONS -T "$1" | tail -n 1)
  mount -o "remount,bind,$options,rw" "$1"
}}
while [ "$1" != -- ]; do
  case "$1" in
    ro:*) sealed "${{1#ro:}}" ;;
    rw:*) writable "${{1#rw:}}" ;;
    *) if [ -d "$1" ]; then mount -t tmpfs -o mode=755 tmpfs "$1"; elif [ -e "$1" ]; then mount --bind /dev/null "$1"; fi ;;
  esac
  shift
done
shift
cd {PLACE} && exec setpriv --no-new-privs --bounding-set=-all,+net_admin --inh-caps=-all "$@"
"""
"""What is mounted over could be unmounted again by whoever mounted it: the code gets none of these rights, and in namespaces that
it makes itself these mounts are locked. It may configure its network, which is how its loopback comes up.

Other disks may be mounted below a sealed folder: a user namespace binds it only together with them, and refuses to drop an option
that one of them has; one that cannot be entered cannot be written to either."""
_SECRETS = (".aws", ".ssh", ".config", ".docker", ".netrc", ".git-credentials", ".pypirc", ".kube")
_SECRET_PLACES = ("/run/secrets", "/var/run/secrets")


class TooLong(Exception):
    """The process was ended at its limit of time."""


class NoNamespaces(Exception):
    """This machine allows no namespaces, and the operator has not said that code may run without them."""


@dataclass(frozen=True)
class Sandbox:
    """Runs one command at a time in ``folder``, where the fixed path is without a mount namespace. ``hidden`` files and
    folders of the service are empty for it, where mounts are allowed. ``unconfined`` is the operator's word that it may run where
    this machine allows no namespaces."""

    folder: Path
    hidden: tuple[Path, ...] = ()
    unconfined: bool = False

    @cached_property
    def _way(self) -> tuple[str, ...]:
        return next((way for way in _WAYS if self._works(way)), ())

    def missing(self) -> str:
        """What this machine does not allow, in words; ``""``: nothing is missing."""
        return "" if self._way else "this machine allows no namespaces"

    def permit(self) -> None:
        """``NoNamespaces`` if nothing may run here."""
        if not self._way and not self.unconfined:
            self.__dict__.pop("_way")  # it may have been too busy to answer: the next compile tries again
            raise NoNamespaces

    @contextlib.contextmanager
    def checkout(self) -> Iterator[tuple[Path, str]]:
        """An empty folder for the repository's files, and the path under which the code will see it; one at a time."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            place = self.folder / "checkout"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            try:
                yield place, PLACE if self._way else str(place.resolve())
            finally:
                shutil.rmtree(place, ignore_errors=True)

    def run(
        self,
        command: Sequence[str],
        place: Path,
        environment: Mapping[str, str],
        log: Path,
        *,
        kept: Sequence[Path] = (),
        own: Path | None = None,
        seconds: float = SECONDS,
    ) -> int:
        """Its exit code, negative for the signal that ended it; ``TooLong`` at the limit. Nothing of it is left. ``kept`` are
        folders that later compiles trust: it cannot write to them where mounts are allowed, but for ``own`` among them.
        ``NoNamespaces``: see ``permit``."""
        self.permit()
        mark = secrets.token_hex(16)
        words = [*self._prefix(place, kept, own), *command]
        with log.open("wb") as output:
            process = subprocess.Popen(
                words,
                cwd=place,
                env={**environment, _MARK: mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_limit,
            )
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TooLong from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _end_marked(mark)

    def _prefix(self, place: Path, kept: Sequence[Path], own: Path | None) -> list[str]:
        if not self._way:
            return []
        home = Path.home()
        hidden = [*(home / name for name in _SECRETS), *map(Path, _SECRET_PLACES), *self.hidden]
        there = [f"ro:{path.resolve()}" for path in kept] + ([f"rw:{own.resolve()}"] if own is not None else [])
        there += [str(path.resolve()) for path in hidden if path.exists()]
        return [*self._way, "sh", "-c", _SHELL, "sh", str(place), *there, "--"]

    def _works(self, way: Sequence[str]) -> bool:
        """Tried for real, mounts and all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                [*way, "sh", "-c", _SHELL, "sh", str(self.folder), f"ro:{self.folder.resolve()}", "--", "true"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_TRY_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        return done.returncode == 0


def kept_from_pipelines(home: Path) -> tuple[Path, ...]:
    """What of the service's own home a repository's code must not find."""
    return (home / "mirrors", home / "local", home / "repositories", *sorted(home.glob("*.db*")))


def _limit() -> None:
    for what, limit in (
        (resource.RLIMIT_CPU, _CPU_SECONDS),
        (resource.RLIMIT_AS, _MEMORY),
        (resource.RLIMIT_FSIZE, _LARGEST_FILE),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        lower = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (lower, lower))


def _end_marked(mark: str) -> None:
    """What left the process group and has no namespace that ends with it still has the mark in its environment."""
    wanted = f"{_MARK}={mark}".encode()
    for _ in range(3):
        found = [pid for pid in _pids() if _is_marked(pid, wanted)]
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc") else []


def _is_marked(pid: int, wanted: bytes) -> bool:
    try:
        return wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
