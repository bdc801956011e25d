"""Owns a service to be hurt: repositories on a git server of their own, servers and workers as processes, and what is left
of them; refuses to be gentle, and to leave a process behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from service.cli.demo.git_server import GitServer, run_git

SECRET = "a secret of the stand"
NAME = "acme/sums"
_FIRST_SECOND = 1_700_000_000


class Stand:
    """Enter it for the git server, leave it to end everything. Nothing of the service runs until ``serve``."""

    def __init__(self, folder: Path, database_url: str, repositories: Sequence[str] = (NAME,), **settings: str) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.database_url = database_url
        self.git_server = GitServer(folder / "git")
        self.repositories = tuple(repositories)
        self.settings = settings
        self.url = ""
        self.processes: list[subprocess.Popen[bytes]] = []
        self._http = httpx.Client(timeout=30.0)

    def __enter__(self) -> Stand:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.home.mkdir(exist_ok=True)
        self.git_server.__enter__()
        for name in self.repositories:
            self.git_server.create(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self.processes:
            kill(process)
        for pid in self.steps():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.git_server.__exit__(None, None, None)
        self._http.close()

    # processes --------------------------------------------------------------------------------------------------------

    def environment(self, **more: str) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("REFIT_")}
        urls = {name: self.git_server.url(name) for name in self.repositories}
        return ours | {
            "REFIT_HOME": str(self.home),
            "REFIT_DATABASE_URL": self.database_url,
            "REFIT_REPOSITORIES": json.dumps(urls),
            "REFIT_GIT_PROTOCOLS": "http",
            "REFIT_WEBHOOK_SECRET": SECRET,
            "REFIT_SLOTS": "2",
            "REFIT_CALLS_PER_MINUTE": "1000000",
            "REFIT_PORT": self.url.rpartition(":")[2] or "0",  # the webhooks' address stays
            **self.settings,
            **more,
        }

    def start(self, *words: str, prefix: Sequence[str] = (), **more: str) -> subprocess.Popen[bytes]:
        """Any ``refit`` command beside the test, its output in the log."""
        with (self.folder / "service.log").open("ab") as log:
            process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "service", *words],
                env=self.environment(**more),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def serve(self, *words: str, prefix: Sequence[str] = (), **more: str) -> subprocess.Popen[bytes]:
        """``refit serve``, once it listens; the first time, webhooks are pointed at it."""
        (self.home / "serve.json").unlink(missing_ok=True)
        process = self.start("serve", *words, prefix=prefix, **more)
        until(lambda: process.poll() is not None or (self.home / "serve.json").exists(), "it listens", self.log)
        assert process.poll() is None, self.log()
        self.listening()
        return process

    def listening(self) -> None:
        first = not self.url
        self.url = json.loads((self.home / "serve.json").read_bytes())["url"]
        for name in self.repositories if first else ():
            self.git_server.hook(name, f"{self.url}/webhooks/github", SECRET)

    def refit(self, *words: str, timeout: float = 120.0, **more: str) -> subprocess.CompletedProcess[str]:
        """A ``refit`` command to its end."""
        command = [sys.executable, "-m", "service", *words]
        return subprocess.run(
            command, env=self.environment(**more), capture_output=True, text=True, check=False, timeout=timeout
        )

    def log(self) -> str:
        path = self.folder / "service.log"
        return path.read_text(encoding="utf-8", errors="replace")[-6_000:] if path.exists() else ""

    def steps(self) -> list[int]:
        """Processes of steps that ran on this stand."""
        known = {path.name for path in (self.home / "local" / "runs").glob("*")}
        return [pid for pid, token in marked("REFIT_STEP") if token in known]

    # what it says -----------------------------------------------------------------------------------------------------

    def get(self, path: str, **query: str) -> Any:
        answer = self._http.get(f"{self.url}/api/v1{path}", params=query)
        answer.raise_for_status()
        return answer.json()

    def ready(self) -> tuple[int, dict[str, str]]:
        answer = self._http.get(f"{self.url}/readyz")
        return answer.status_code, answer.json()["checks"]

    def execution(self, sha: str) -> dict[str, Any] | None:
        """The newest execution of a commit, if the service answers and has one."""
        try:
            found = self.get("/executions", commit=sha)["items"]
        except httpx.TransportError:
            return None
        return found[0] if found else None

    def ended(self, sha: str, seconds: float = 120.0) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            found = self.execution(sha)
            return found if found and found["ended_at"] else None

        return dict(until(look, f"{sha[:10]} ends", self.log, seconds))

    def outcome(self, sha: str, seconds: float = 120.0) -> str:
        """What became of the delivery that brought a commit."""

        def look() -> str:
            found = [one["outcome"] for one in self.get("/deliveries")["items"] if sha[:10] in one["outcome"]]
            return found[0] if found else ""

        return str(until(look, f"{sha[:10]} is decided", self.log, seconds))


class Clone:
    """A working clone whose commits are the same in every run: only content and order decide their names."""

    def __init__(self, folder: Path, url: str, files: Mapping[str, str | bytes]) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org"), ("core.symlinks", "true")):
            self.git("config", key, value)
        self.git("remote", "add", "origin", url)
        self._commits = 0
        self.write(files)

    def git(self, *words: str, **more: str) -> str:
        if not more:
            return run_git(*words, cwd=self.folder)
        environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1", **more}
        done = subprocess.run(
            ["git", *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def commit(self, message: str, files: Mapping[str, str | bytes] | None = None) -> str:
        self.write(files or {})
        self._commits += 1
        date = f"@{_FIRST_SECOND + self._commits} +0000"
        self.git("add", "--all")
        self.git(
            "commit", "--quiet", "--allow-empty", "-m", message, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date,
        )  # fmt: skip
        return self.git("rev-parse", "HEAD")

    def push(self, *words: str) -> None:
        self.git("push", "--quiet", "origin", *(words or ("HEAD",)))


def until(look: Callable[[], Any], what: str, log: Callable[[], str] = str, seconds: float = 60.0) -> Any:
    """What ``look`` finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError(f"never: {what}\n{log()}")


def kill(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    if process.poll() is None:
        process.send_signal(number)
    process.wait(30)


def marked(variable: str) -> Iterator[tuple[int, str]]:
    """Every process that has this environment variable, and its value."""
    start = f"{variable}=".encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            yield from ((int(entry.name), os.fsdecode(word[len(start) :])) for word in words if word.startswith(start))


def children(pid: int) -> list[int]:
    """Direct children of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(one) for one in task.read_text().split()]
    return found


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
