"""docker-compose.yml, brought up by Docker Compose itself: API, worker, PostgreSQL and nginx as it composes them.

What differs from `docker compose up`: podman is the engine, PostgreSQL and nginx are Debian's, and a git server stands
beside the worker.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.container.engine import SOCKET, Engine, until
from tests.container.images import IMAGE, NEIGHBOURS, ROOT
from tests.container.repository import NAME, SECRET, SERVE_GIT, URL, Api, Repository, states
from tests.container.test_files import program

pytestmark = pytest.mark.timeout(600)
GATE = "/var/lib/refit/gate"


@dataclass
class Stack:
    """The project's folder as an operator has it: the two files, and a secret in each of four more."""

    engine: Engine
    folder: Path
    repository: Repository

    def compose(self, *words: str, seconds: float = 180.0) -> str:
        variables = {"DOCKER_HOST": f"unix://{SOCKET}", "REFIT_REPOSITORIES": json.dumps({NAME: URL})}
        files = (
            "--project-name=refit",
            "--file",
            self.folder / "docker-compose.yml",
            "--file",
            self.folder / "here.yml",
        )
        return self.engine.run(program("docker-compose"), *files, *words, seconds=seconds, **variables)

    def container(self, service: str) -> str:
        return f"refit-{service}-1"

    def states(self) -> dict[str, str]:
        """Each service with its state and, where it has one, its health."""
        listed = self.engine.podman("ps", "--all", "--format", "{{.Names}} {{.State}} {{.Status}}")
        return {line.split()[0].split("-")[1]: line.partition(" ")[2] for line in listed.splitlines()}

    def log(self) -> str:
        return "\n".join(self.engine.log(self.container(name))[-3000:] for name in ("api", "worker", "nginx"))

    def api(self) -> Api:
        token = self.compose("exec", "-T", "api", "refit", "token", "create", "test", "--scope", "read")
        return Api(self.engine, token)


@pytest.fixture(scope="module")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    made = Stack(engine, folder, Repository(folder, "http://127.0.0.1:8080/webhooks/github"))
    _project(folder, made.repository)
    engine.serve_socket()
    with _health(engine):
        try:
            made.compose("up", "--detach", "--no-build", "--pull=never")
            until(lambda: "healthy" in made.states()["api"], "the API is healthy", told=made.log)
            yield made
        finally:
            made.compose("down", "--volumes", "--timeout=0")


def _project(folder: Path, repository: Repository) -> None:
    """docker-compose.yml with what its first comment asks for, and what is different here."""
    shutil.copy(ROOT / "docker-compose.yml", folder)
    secrets = folder / "deploy" / "secrets"
    secrets.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "nginx.conf", folder / "deploy")
    for name, value in (
        ("postgres_password", "correct-horse"), ("webhook_secret", SECRET), ("github_token", ""),
        ("database_url", "postgresql+psycopg://refit:correct-horse@postgres/refit"),
    ):  # fmt: skip
        (secrets / name).write_text(value + "\n")
        os.chown(secrets / name, 10001, 10001)
        (secrets / name).chmod(0o400)
    here: dict[str, Any] = {
        "postgres": {"image": f"localhost/{NEIGHBOURS}", "entrypoint": ["postgres.sh"], "stop_signal": "SIGINT"},
        "nginx": {
            "image": f"localhost/{NEIGHBOURS}",
            "entrypoint": ["nginx", "-g", "daemon off;"],
            "stop_signal": "SIGQUIT",
        },
        "api": {"image": f"localhost/{IMAGE}", "environment": {"REFIT_GIT_PROTOCOLS": "http"}},
        "worker": {"image": f"localhost/{IMAGE}", "environment": {"REFIT_GIT_PROTOCOLS": "http"}},
        "git": {
            "image": f"localhost/{IMAGE}",
            "command": ["python", "-c", SERVE_GIT],
            "network_mode": "service:worker",
            "volumes": [f"{repository.served}:/git:ro"],
            "healthcheck": {"disable": True},
        },
    }
    (folder / "here.yml").write_text(yaml.safe_dump({"services": here}))


class _health:  # noqa: N801 - reads as a statement
    """Runs the health checks, each second: podman leaves that to systemd, which is not here."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._check)

    def _check(self) -> None:
        while not self._over.wait(1.0):
            for name in self._engine.attempt("podman", "ps", "--quiet").stdout.split():
                self._engine.attempt("podman", "healthcheck", "run", name)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def test_a_push_through_nginx_is_run_by_the_worker(stack: Stack) -> None:
    sha = stack.repository.push(stack.engine, "round: 1\ngate: ''\n")
    api = stack.api()
    execution = api.ended(sha, stack.log)
    assert states(execution) == {"look": "succeeded", "wait": "succeeded"}, stack.log()
    assert api.seen(execution["id"])["uid"] == 10001, "the API shows what the worker's step wrote"
    assert api.seen(execution["id"])["capabilities"] == 0


def test_it_is_ready(stack: Stack) -> None:
    answer = Api(stack.engine, "").answer("/readyz")
    assert answer.status_code == 200 and set(answer.json()["checks"].values()) == {""}, answer.text


def test_metrics_are_for_the_inside(stack: Stack) -> None:
    assert Api(stack.engine, "").answer("/metrics").status_code == 404
    ask = "from urllib.request import urlopen; print(urlopen('http://api:8080/metrics').read().decode())"
    assert "refit_" in stack.engine.podman("exec", stack.container("nginx"), "python", "-c", ask)


def test_nginx_does_not_reach_the_database(stack: Stack) -> None:
    ask = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
    for service, name, port, reached in (
        ("worker", "postgres", 5432, True), ("nginx", "api", 8080, True), ("nginx", "postgres", 5432, False),
    ):  # fmt: skip
        done = stack.engine.attempt("podman", "exec", stack.container(service), "python", "-c", ask, name, port)
        assert (done.returncode == 0) is reached, f"{service} to {name}: {done.stderr}"


def test_no_secret_is_in_what_the_engine_shows(stack: Stack) -> None:
    shown = "\n".join(stack.engine.podman("inspect", stack.container(name)) for name in ("api", "worker", "postgres"))
    assert "/run/secrets/webhook_secret" in shown
    assert not [secret for secret in (SECRET, "correct-horse") if secret in shown]


def test_a_worker_that_is_restarted_finishes_what_it_had_begun(stack: Stack) -> None:
    """A container's end is the end of every process in it, supervisors too."""
    sha = stack.repository.push(stack.engine, f"round: 2\ngate: {GATE}\n")
    api = stack.api()

    def waits() -> bool:
        found = api.execution(sha)
        return bool(found) and "waiting" in api.lines(found["id"], "wait")

    until(waits, "the step waits at its gate", told=stack.log)
    stack.compose("restart", "worker")
    stack.compose("restart", "git")
    stack.compose("exec", "-T", "worker", "touch", GATE)
    ended = api.ended(sha, stack.log)
    assert states(ended) == {"look": "succeeded", "wait": "succeeded"}, stack.log()
    assert [attempt["state"] for attempt in ended["steps"][1]["attempts"]] == ["lost", "succeeded"]


def test_nginx_follows_an_api_that_starts_again(stack: Stack) -> None:
    """nginx keeps the address that it found when it started; an API that is replaced has another."""
    nginx, began = stack.container("nginx"), ".State.StartedAt"
    before = stack.engine.inspect(nginx, began)
    stack.compose("restart", "api")
    assert stack.engine.inspect(nginx, began) != before
    until(lambda: Api(stack.engine, "").answer("/healthz").status_code == 200, "nginx finds it", told=stack.log)


def test_everything_ends_by_itself_when_asked_to(stack: Stack) -> None:
    stack.compose("stop")
    codes = {
        name: stack.engine.inspect(stack.container(name), ".State.ExitCode")
        for name in ("api", "worker", "postgres", "nginx")
    }
    assert codes == {"api": "0", "worker": "0", "postgres": "0", "nginx": "0"}, stack.log()
