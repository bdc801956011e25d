"""Owns what the demo runs on: a git server, the service as its own process, a working clone; refuses to peek past REST."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from service.cli.demo.git_server import GitServer, run_git
from service.cli.demo.story import BRANCH, MAIN, Chapter, Edit
from service.domain.errors import Refused

REPOSITORY = "demo/diamonds"
LOCAL = "local"
_ENDED = ("succeeded", "failed", "cancelled", "superseded")
_START_SECONDS, _CHAPTER_SECONDS = 60.0, 600.0


class Stage:
    """Enter it to start everything, leave it to end everything. ``source`` is the content of the first commit, but for the
    ``backend`` that its refit.yaml names."""

    def __init__(
        self,
        source: Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        backend: str = LOCAL,
    ) -> None:
        declared = os.environ.get("REFIT_BACKENDS")
        self._extra = {**({"REFIT_BACKENDS": declared} if declared else {}), **(environment or {})}
        if backend != LOCAL and "REFIT_BACKENDS" not in self._extra:
            raise Refused(
                f"starting the demo on {backend}: REFIT_BACKENDS names no file that declares it; "
                "`python3 run.py demo --backend sagemaker` or `azureml` brings an emulator with it"
            )
        self._source = source
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="refit-demo-"))
        self.work = self.folder / "work"
        self.home = self.folder / "home"
        self.url = ""
        self._backend = backend
        self._secret = secrets.token_urlsafe(24)
        self._git = GitServer(self.folder / "git")
        self._service: subprocess.Popen[bytes] | None = None
        self._http = httpx.Client(timeout=30.0)

    def __enter__(self) -> Stage:
        self.home.mkdir(parents=True, exist_ok=True)
        self._git.__enter__()
        try:
            self._git.create(REPOSITORY)
            self.start_service()
            self._git.hook(REPOSITORY, f"{self.url}/webhooks/github", self._secret)
            self._clone()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self.stop_service()
        self._git.__exit__(None, None, None)
        self._http.close()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    # the service ------------------------------------------------------------------------------------------------------

    def start_service(self) -> None:
        """``refit serve`` on a free port, with SQLite unless the caller's environment says otherwise."""
        listening = self.home / "serve.json"
        listening.unlink(missing_ok=True)
        port = self.url.rpartition(":")[2] or "0"  # again on the same port, so that the webhook's address stays
        environment = {**self._environment(), "REFIT_PORT": port}
        with (self.folder / "service.log").open("ab") as log:
            self._service = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not listening.exists():
            if self._service.poll() is not None or time.monotonic() > deadline:
                tail = (self.folder / "service.log").read_text(encoding="utf-8", errors="replace")[-2000:]
                raise Refused(f"starting the service: it did not begin to listen; its log ends with\n{tail}")
            time.sleep(0.05)
        self.url = json.loads(listening.read_text(encoding="utf-8"))["url"]

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("REFIT_")}
        return ours | {
            "REFIT_HOME": str(self.home),
            "REFIT_REPOSITORIES": json.dumps({REPOSITORY: self._git.url(REPOSITORY)}),
            "REFIT_GIT_PROTOCOLS": "http",
            "REFIT_WEBHOOK_SECRET": self._secret,
            **self._extra,
        }

    def stop_service(self, number: int = signal.SIGTERM) -> None:
        """End the service by its own id; what its steps do is theirs until they end or it comes back."""
        if self._service is not None and self._service.poll() is None:
            self._service.send_signal(number)
            try:
                self._service.wait(20)
            except subprocess.TimeoutExpired:
                self._service.kill()
                self._service.wait()

    # the repository ---------------------------------------------------------------------------------------------------

    def _clone(self) -> None:
        shutil.copytree(self._source, self.work, ignore=shutil.ignore_patterns("__pycache__", ".venv", "*.pyc"))
        if self._backend != LOCAL:
            apply(self.work, Edit("refit.yaml", f"backend: {LOCAL}\n", f"backend: {self._backend}\n"))
        self.git("init", "--quiet", f"--initial-branch={MAIN}")
        for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org"), ("commit.gpgsign", "false")):
            self.git("config", key, value)
        self.git("remote", "add", "origin", self._git.url(REPOSITORY))

    @property
    def bare(self) -> Path:
        """The repository that is pushed to."""
        return self.folder / "git" / f"{REPOSITORY}.git"

    def git(self, *arguments: str) -> str:
        return run_git(*arguments, cwd=self.work)

    def push(self, chapter: Chapter) -> str:
        """Make the chapter's commit and push it; its SHA."""
        if chapter.act == "revert":
            self.git("revert", "--no-edit", f"HEAD~{chapter.count}..HEAD")
        elif chapter.act == "squash":
            self.git("checkout", "--quiet", MAIN)
            self.git("merge", "--quiet", "--squash", BRANCH)
            self.git("commit", "--quiet", "-m", chapter.message)
        else:
            if chapter.branch != MAIN:
                self.git("checkout", "--quiet", "-b", chapter.branch)
            for edit in chapter.edits:
                apply(self.work, edit)
            self.git("add", "--all")
            self.git("commit", "--quiet", "-m", chapter.message)
        self.git("push", "--quiet", "--set-upstream", "origin", "HEAD")
        return self.git("rev-parse", "HEAD")

    # the service, from outside ----------------------------------------------------------------------------------------

    def get(self, path: str, **query: str) -> Any:
        """A document of the REST API."""
        answer = self._http.get(f"{self.url}/api/v1{path}", params=query)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, token: str) -> httpx.Response:
        """An act through the REST API."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._http.post(f"{self.url}/api/v1{path}", headers=headers)

    def token(self, scope: str) -> str:
        """A fresh API token, made as an operator makes one."""
        command = [sys.executable, "-m", "service", "token", "create", "stage", "--scope", scope]
        done = subprocess.run(command, env=self._environment(), capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def follow(self, commit: str, chapter: Chapter, show: Callable[[Mapping[str, Any]], None]) -> Mapping[str, Any]:
        """The execution of a commit, shown until it has ended."""
        deadline = time.monotonic() + _CHAPTER_SECONDS
        while time.monotonic() < deadline:
            found = self.get("/executions", commit=commit, branch=chapter.branch)["items"]
            if found:
                show(found[0])
                if found[0]["status"] in _ENDED:
                    return dict(found[0])
            time.sleep(0.15)
        raise Refused(
            f"following {chapter.title!r}: no end after {_CHAPTER_SECONDS:.0f} s; see {self.folder}/service.log"
        )

    def newest_model(self) -> dict[str, Any] | None:
        models = self.get("/models")["items"]
        return models[0] if models else None

    def lineage(self, model: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/lineage", model=f"{model['name']}/{model['version']}")
        return found


def apply(folder: Path, edit: Edit) -> None:
    """Make one edit; it must fit exactly once, else the story and the repository have drifted apart."""
    path = folder / edit.path
    text = path.read_text(encoding="utf-8")
    if edit.old and text.count(edit.old) != 1:
        raise Refused(f"editing {edit.path}: the text to replace is there {text.count(edit.old)} times")
    path.write_text(text.replace(edit.old, edit.new) if edit.old else text + edit.new, encoding="utf-8")
