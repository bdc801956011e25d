"""Owns a container engine, podman, in namespaces of its own; refuses to pull anything and to leave anything behind.

Its storage, its networks and its containers live in memory and in namespaces whose first process ends when this one does.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")
_PROGRAMS = ("podman", "crun", "conmon", "catatonit", "iptables", "ip", "mmdebstrap", "unshare", "nsenter")
_NETWORKS = ("/usr/lib/podman/netavark", "/usr/libexec/podman/netavark")
_INITS = ("/usr/libexec/podman/catatonit", "/usr/lib/podman/catatonit")
SOCKET = "/run/podman.sock"
_NEW_NET = 0x40000000


def missing() -> str:
    """What this machine lacks, with the way to get it; empty: nothing."""
    if os.geteuid() != 0:
        return "the test makes namespaces and mounts: run it as root"
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    if not any(Path(path).exists() for path in _NETWORKS):
        absent.append("netavark")
    if absent:
        return f"{', '.join(absent)}: apt-get install podman crun catatonit netavark aardvark-dns iptables iproute2 mmdebstrap"
    return ""


class Engine:
    """Enter it to have an engine without images; leave it, or die, and there is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holder: subprocess.Popen[str] | None = None
        self._first = 0
        self._network: ThreadPoolExecutor | None = None

    def __enter__(self) -> Engine:
        script = Path(__file__).with_name("namespace.sh")
        command = ["unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with (self._folder / "namespace.log").open("w") as log:
            self._holder = subprocess.Popen(
                [*command, "bash", str(script), str(self._folder)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != "ready\n":
            self.__exit__(None, None, None)
            raise RuntimeError((self._folder / "namespace.log").read_text())
        pid = self._holder.pid
        self._first = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        self._network = ThreadPoolExecutor(1, "in-namespace", _enter_network, (self._first,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._network is not None:
            self._network.shutdown()
        if self._holder is not None:
            assert self._holder.stdin is not None and self._holder.stdout is not None
            self._holder.stdin.close()
            self._holder.wait(30)
            self._holder.stdout.close()

    def at(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Calls it where published ports are: in the namespaces' network. What it starts is there too."""
        assert self._network is not None
        return self._network.submit(call, *arguments, **named).result()

    def podman(self, *arguments: object, outside: bool = False, seconds: float = 300.0) -> str:
        """Stdout of podman; ``outside`` has the machine's own network, to build with."""
        return self.run("podman", *arguments, outside=outside, seconds=seconds)

    def run(self, *command: object, outside: bool = False, seconds: float = 60.0, **variables: str) -> str:
        """Stdout of a command in here; the failure tells both streams."""
        done = self.attempt(*command, outside=outside, seconds=seconds, **variables)
        assert done.returncode == 0, (
            f"{command} ended with {done.returncode}\n{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
        )
        return done.stdout.strip()

    def attempt(
        self, *command: object, outside: bool = False, seconds: float = 60.0, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """The same, for what may fail."""
        return subprocess.run(
            self._inside(command, outside=outside), env=_environment(variables), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=seconds, check=False,
        )  # fmt: skip

    def start(self, *command: object, log: Path) -> None:
        """A command that runs until the engine ends."""
        with log.open("ab") as to:
            subprocess.Popen(
                self._inside(command, outside=False),
                env=_environment({}), stdin=subprocess.DEVNULL, stdout=to, stderr=to,
            )  # fmt: skip

    def _inside(self, command: Iterable[object], *, outside: bool) -> list[str]:
        spaces = ["--mount", "--ipc", "--pid", *([] if outside else ["--net"])]
        return ["nsenter", "--target", str(self._first), *spaces, *(str(word) for word in command)]

    # containers -------------------------------------------------------------------------------------------------------

    def inspect(self, what: str, field: str) -> str:
        """One field of a container or an image, as podman's template language names it."""
        return self.podman("inspect", "--format", f"{{{{{field}}}}}", what)

    def log(self, container: str) -> str:
        done = self.attempt("podman", "logs", container)
        return done.stdout + done.stderr

    def serve_socket(self) -> None:
        """Docker's API on a socket, for what speaks to a Docker engine."""
        self.start("podman", "system", "service", "--time=0", f"unix://{SOCKET}", log=self._folder / "socket.log")
        until(lambda: self.attempt("test", "-S", SOCKET).returncode == 0, "podman's socket is there")


def until(true: Callable[[], T], what: str, seconds: float = 60.0, told: Callable[[], str] = str) -> T:
    """The first true answer; a deadline for what never comes, with what ``told`` has to say of it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s\n{told()}"
        time.sleep(0.1)
    return found


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Nothing of this session's but the search path: an image must not depend on it."""
    return {"PATH": os.environ["PATH"], "HOME": "/root", "LC_ALL": "C.UTF-8", **variables}


def _enter_network(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/proc/{pid}/ns/net") as space:
        if libc.setns(space.fileno(), _NEW_NET):
            raise OSError(ctypes.get_errno(), "entering the engine's network")
