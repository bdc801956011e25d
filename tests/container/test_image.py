"""The image that the Dockerfile makes, run alone as `docker run` would: no root, no capability, nothing writable but its
volume and /tmp."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.container.engine import Engine, until
from tests.container.images import ROOT, mirrors
from tests.container.repository import NAME, SECRET, SERVE_GIT, URL, Api, Repository, states

pytestmark = pytest.mark.timeout(600)  # the first of them makes the images
READ_ONLY_FILE_SYSTEM = 30
HARDENED = (
    "--init", "--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp", "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)  # fmt: skip


@dataclass
class Running:
    """The service in a container, and the repository whose webhooks reach it."""

    engine: Engine
    repository: Repository
    secret: Path

    def start(self, image: str) -> None:
        """With what it cannot do without; the state outlives the container."""
        self.engine.podman(
            "run", "--detach", "--name=refit", *HARDENED, "--publish=8080:8080", "--volume=state:/var/lib/refit",
            f"--volume={self.secret}:/run/secrets/webhook_secret:ro", "--env=REFIT_GIT_PROTOCOLS=http",
            "--env=REFIT_WEBHOOK_SECRET_FILE=/run/secrets/webhook_secret",
            f"--env=REFIT_REPOSITORIES={json.dumps({NAME: URL})}", image,
        )  # fmt: skip
        until(self.healthy, "the container is healthy", told=lambda: self.engine.log("refit"))
        self.engine.podman(
            "run", "--detach", "--name=git", "--network=container:refit", *HARDENED,
            f"--volume={self.repository.served}:/git:ro", image, "python", "-c", SERVE_GIT,
        )  # fmt: skip
        until(
            lambda: self.engine.attempt("podman", "exec", "git", "git", "ls-remote", URL).returncode == 0, "git serves"
        )

    def healthy(self) -> bool:
        return self.engine.attempt("podman", "healthcheck", "run", "refit").returncode == 0

    def stop(self) -> int:
        """As `docker stop` does; the service's exit code."""
        self.engine.podman("rm", "--force", "--time=0", "git")
        self.engine.podman("stop", "--time=30", "refit")
        code = int(self.engine.inspect("refit", ".State.ExitCode"))
        self.engine.podman("rm", "refit")
        return code

    def api(self) -> Api:
        token = self.engine.podman("exec", "refit", "refit", "token", "create", "test", "--scope", "read")
        return Api(self.engine, token)


@pytest.fixture(scope="module")
def running(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("running")
    secret = folder / "webhook_secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o444)
    made = Running(engine, Repository(folder, "http://127.0.0.1:8080/webhooks/github"), secret)
    try:
        made.start(image)
        yield made
    finally:
        engine.attempt("podman", "rm", "--all", "--force", "--time=0")
        engine.attempt("podman", "volume", "rm", "--all", "--force")


def test_the_image_is_what_the_dockerfile_says(engine: Engine, image: str) -> None:
    config = json.loads(engine.inspect(image, "json .Config"))
    assert config["User"] == "10001"
    assert config["Cmd"] == ["refit", "serve", "--host", "0.0.0.0", "--port", "8080"]
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    assert list(config["Volumes"]) == ["/var/lib/refit"]
    assert json.loads(engine.inspect(image, "json .HealthCheck"))["Test"][:3] == ["CMD", "python", "-c"]


def test_nothing_is_inside_but_what_it_runs(engine: Engine, image: str) -> None:
    look = (
        "ls /app; ls -A /build /opt /var/lib/apt/lists /root/.cache 2>/dev/null; "
        "find /app -name .git; find /app/pipelines -name __pycache__"
    )
    found = engine.podman("run", "--rm", "--network=none", "--user=0", image, "sh", "-c", look)
    assert set(found.split()) == {
        "LICENSE", "migrations", "pipelines", "service", "/opt:", "refit", "/var/lib/apt/lists:"
    }  # fmt: skip


def test_its_modules_are_compiled_once(engine: Engine, image: str) -> None:
    look = "cd /app && for kind in py pyc; do find service migrations -name *.$kind | wc -l; done"
    modules, compiled = engine.podman("run", "--rm", "--network=none", image, "sh", "-c", look).split()
    assert int(modules) == int(compiled) > 200


def test_what_is_installed_is_what_is_locked(engine: Engine, image: str) -> None:
    lock = (ROOT / "requirements" / "base.lock").read_text()
    locked = dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", lock, re.MULTILINE))
    listing = engine.podman("run", "--rm", "--network=none", "--read-only", image, "uv", "pip", "list", "--format=json")
    installed = {one["name"]: one["version"] for one in json.loads(listing)}
    assert installed["fastapi"] == locked["fastapi"]
    assert installed.items() <= locked.items()


@pytest.mark.parametrize("extras", ["sagemaker", "azureml"])
def test_each_cloud_installs_into_it_without_a_compiler(
    extras: str, engine: Engine, image: str, tmp_path: Path
) -> None:
    """The whole image with a cloud takes a minute to build; this finds what would stop it."""
    lock = ROOT / "requirements" / f"{extras}.lock"
    command = (
        "uv",
        "pip",
        "install",
        "--dry-run",
        "--no-cache",
        "--only-binary=:all:",
        "--require-hashes",
        "-r",
        "/lock",
    )
    words = ("run", "--rm", "--network=host", *mirrors(tmp_path), f"--volume={lock}:/lock:ro", image, *command)
    done = engine.attempt("podman", *words, outside=True, seconds=120)
    assert done.returncode == 0 and "Would install" in done.stderr, done.stderr


def test_a_push_is_run_inside(running: Running) -> None:
    sha = running.repository.push(running.engine, "round: 1\ngate: ''\n")
    api = running.api()
    execution = api.ended(sha, lambda: running.engine.log("refit"))
    assert states(execution) == {"look": "succeeded", "wait": "succeeded"}, running.engine.log("refit")
    assert api.seen(execution["id"]) == {
        "uid": 10001, "refused": READ_ONLY_FILE_SYSTEM, "tiny": 42, "capabilities": 0, "no_new_privileges": 1
    }  # fmt: skip
    assert api.lines(execution["id"], "wait")[-2:] == ["waiting", "passed"]


def test_reading_from_outside_needs_a_token(running: Running) -> None:
    assert Api(running.engine, "").answer("/api/v1/executions").status_code == 401


def test_doctor_finds_nothing_to_mend(running: Running) -> None:
    found = json.loads(running.engine.podman("exec", "refit", "refit", "doctor", "--json"))
    assert [check for check in found if not check["ok"]] == []


def test_native_definitions_are_compiled_apart_where_the_profile_allows_it_and_refused_where_it_does_not(
    engine: Engine, image: str, tmp_path: Path
) -> None:
    """Podman's default profile allows namespaces to a process without capabilities, Docker's does not: it lacks these calls."""
    profile = json.loads(Path("/usr/share/containers/seccomp.json").read_text())
    for rule in profile["syscalls"]:
        rule["names"] = [
            name for name in rule["names"] if name not in ("unshare", "mount", "umount2", "setns", "clone3")
        ]
    (tmp_path / "docker.json").write_text(json.dumps(profile))

    def told(*more: str) -> str:
        words = ("run", "--rm", "--network=none", *HARDENED, *more, image, "refit", "doctor", "--json")
        done = engine.attempt("podman", *words, seconds=120)
        return str(next(one["detail"] for one in json.loads(done.stdout) if one["check"] == "native definitions"))

    assert told().startswith("sagemaker: compiled in namespaces of their own")
    refusing = f"--security-opt=seccomp={tmp_path / 'docker.json'}"
    assert told(refusing).startswith("sagemaker: this machine allows no namespaces: refused")
    assert "REFIT_COMPILE_UNCONFINED is set" in told(refusing, "--env=REFIT_COMPILE_UNCONFINED=true")


def test_not_even_root_can_write_its_root(running: Running) -> None:
    for place in ("/app/x", "/opt/refit/x", "/etc/x", "/x", "/run/x", "/var/tmp/x"):
        done = running.engine.attempt("podman", "exec", "--user=0", "refit", "touch", place)
        assert done.returncode != 0 and "Read-only file system" in done.stderr, place


def test_the_health_check_tells_a_service_that_hangs(running: Running) -> None:
    hang = "import os, signal; os.kill({pid}, signal.{signal})"
    pid = json.loads(running.engine.podman("exec", "refit", "cat", "/var/lib/refit/state/serve.json"))["pid"]
    assert running.healthy()
    running.engine.podman("exec", "refit", "python", "-c", hang.format(pid=pid, signal="SIGSTOP"))
    try:
        assert not running.healthy()
    finally:
        running.engine.podman("exec", "refit", "python", "-c", hang.format(pid=pid, signal="SIGCONT"))
    until(running.healthy, "it is healthy again")


def test_it_ends_cleanly_and_the_next_one_knows_what_it_did(running: Running, image: str) -> None:
    sha = running.repository.push(running.engine, "round: 2\ngate: ''\n")
    ran = running.api().ended(sha, lambda: running.engine.log("refit"))
    assert running.stop() == 0
    running.start(image)
    api = running.api()
    assert api.seen(ran["id"])["uid"] == 10001
    again = running.repository.push(running.engine, "round: 2\ngate: ''\nunused: 1\n")
    ended = api.ended(again, lambda: running.engine.log("refit"))
    assert states(ended) == {"look": "reused", "wait": "reused"}, json.dumps(ended, indent=1)
