"""Owns the repository that the container tests push: its steps look at the container that they run in; refuses a network:
what its environment needs, it carries."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import httpx

from service.cli.demo.git_server import GitServer, run_git
from tests.container.engine import Engine, until

NAME = "acme/looks"
SECRET = "It's a Secret to Everybody"
GIT_PORT = 9418
SERVE_GIT = f"""\
import threading
from pathlib import Path
from service.cli.demo.git_server import GitServer
with GitServer(Path("/git"), {GIT_PORT}):
    threading.Event().wait()
"""
URL = f"http://127.0.0.1:{GIT_PORT}/{NAME}.git"
WHEEL = "wheels/tiny-1.0-py3-none-any.whl"
FILES = {
    "refit.yaml": """\
version: 1
triggers: {push: [main]}
environment: requirements.txt
pipelines:
  looks:
    components:
      look:
        run: look.py
        params: [round]
        paths: [wheels/*]
        outputs: [seen]
      wait:
        run: wait.py
        params: [gate]
        paths: [wheels/*]
        inputs: {seen: look.seen}
        outputs: [waited]
""",
    "params.yaml": "round: 1\ngate: ''\n",
    "requirements.txt": f"./{WHEEL}\n",
    "look.py": """\
import argparse, json, os, tiny
flags = argparse.ArgumentParser()
for name in ("round", "seen"):
    flags.add_argument("--" + name)
flags = flags.parse_args()
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
try:
    open("/app/written", "w")
    refused = 0
except OSError as error:
    refused = error.errno
print(json.dumps({"uid": os.getuid(), "refused": refused, "tiny": tiny.ANSWER, "capabilities": int(status["CapEff"], 16),
                  "no_new_privileges": int(status["NoNewPrivs"])}))
open(flags.seen, "w").write(flags.round)
""",
    "wait.py": """\
import argparse, os, time
flags = argparse.ArgumentParser()
for name in ("gate", "seen", "waited"):
    flags.add_argument("--" + name)
flags = flags.parse_args()
print("waiting", flush=True)
for _ in range(4000):  # a test that failed must not leave it waiting for ever
    if not flags.gate or os.path.exists(flags.gate):
        break
    time.sleep(0.05)
print("passed", flush=True)
open(flags.waited, "w").write(open(flags.seen).read())
""",
}
ENDED = ("succeeded", "failed", "cancelled", "superseded")


class Repository:
    """A bare repository whose pushes are delivered as signed webhooks, and a clone to push from."""

    def __init__(self, folder: Path, webhook: str) -> None:
        self.served = folder / "git"
        self.work = folder / "work"
        with GitServer(self.served) as server:
            bare = server.create(NAME)
            server.hook(NAME, webhook, SECRET)
        for name, text in FILES.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        _wheel(self.work / WHEEL)
        self.git("init", "--quiet", "--initial-branch=main")
        for key, value in (("user.name", "Ada"), ("user.email", "ada@example.org"), ("commit.gpgsign", "false")):
            self.git("config", key, value)
        self.git("remote", "add", "origin", str(bare))

    def git(self, *arguments: str) -> str:
        return run_git(*arguments, cwd=self.work)

    def push(self, engine: Engine | None, parameters: str) -> str:
        """Commits with these parameters and pushes; the hook delivers from where the engine's ports are published."""
        (self.work / "params.yaml").write_text(parameters)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", parameters)
        push = ("push", "--quiet", "origin", "HEAD")
        if engine is None:
            self.git(*push)
        else:
            engine.at(self.git, *push)
        return self.git("rev-parse", "HEAD")


class Api:
    """What a person with a token sees of a service in the engine."""

    def __init__(self, engine: Engine, token: str, url: str = "http://127.0.0.1:8080") -> None:
        self._engine = engine
        self._token = token
        self._url = url

    def answer(self, path: str, **query: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return self._engine.at(httpx.get, self._url + path, params=query, headers=headers, timeout=10.0)

    def get(self, path: str, **query: str) -> Any:
        answer = self.answer(f"/api/v1{path}", **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def execution(self, commit: str) -> dict[str, Any] | None:
        found: list[dict[str, Any]] = self.get("/executions", commit=commit)["items"]
        return self.get(f"/executions/{found[0]['id']}") if found else None

    def ended(self, commit: str, told: Any = str) -> dict[str, Any]:
        """The execution of a commit, once it has ended."""

        def look() -> dict[str, Any] | None:
            found = self.execution(commit)
            return found if found and found["status"] in ENDED else None

        return until(look, f"the execution of {commit} ends", 90.0, told)

    def lines(self, execution: str, step: str) -> list[str]:
        return [line["text"] for line in self.get(f"/executions/{execution}/logs", step=step)["items"]]

    def seen(self, execution: str) -> dict[str, int]:
        """What the first step saw of its container: its last line."""
        found: dict[str, int] = json.loads(self.lines(execution, "look")[-1])
        return found


def states(execution: dict[str, Any]) -> dict[str, str]:
    return {step["component"]: step["state"] for step in execution["steps"]}


def _wheel(path: Path) -> None:
    """A package as small as one can be: installing it needs uv and no index."""
    path.parent.mkdir(parents=True)
    about = "tiny-1.0.dist-info"
    content = {
        "tiny.py": "ANSWER = 42\n",
        f"{about}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: by hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*content, f"{about}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**content, f"{about}/RECORD": record}.items():
            wheel.writestr(name, text)
