"""The Dockerfile before hadolint and the compose file before Docker Compose: the real ones, from their packages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import absent
from tests.container.images import ROOT


def program(name: str) -> str:
    """From the environment that runs this test; there are none for some platforms."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return found or absent("container", f"{name}: python3 run.py sync brings it where its package has a binary")


def composed(*options: str, **variables: str) -> dict[str, Any]:
    """The compose file as Docker Compose understands it."""
    command = [
        program("docker-compose"),
        *options,
        "--file",
        str(ROOT / "docker-compose.yml"),
        "config",
        "--format",
        "json",
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **variables}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_hadolint_has_nothing_to_say() -> None:
    command = [program("hadolint"), "--failure-threshold", "style", "--format", "json", str(ROOT / "Dockerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, json.loads(done.stdout)) == (0, []), done.stdout + done.stderr


def test_compose_reads_it_without_a_warning() -> None:
    assert set(composed()["services"]) == {"api", "worker", "postgres", "nginx"}


def test_compose_passes_on_what_the_operator_sets() -> None:
    found = composed(
        REFIT_EXTRAS="azureml", REFIT_PORT="9000", REFIT_REPOSITORIES='{"a/b": "https://example.org/a/b.git"}'
    )
    services = found["services"]
    assert services["api"]["build"]["args"] == {"EXTRAS": "azureml"}
    assert [port["published"] for port in services["nginx"]["ports"]] == ["9000"]
    for name in ("api", "worker"):
        assert services[name]["environment"]["REFIT_REPOSITORIES"] == '{"a/b": "https://example.org/a/b.git"}'


@pytest.mark.parametrize("name", ["api", "worker"])
def test_what_runs_refit_may_do_nothing_more_than_it_must(name: str) -> None:
    service = composed()["services"][name]
    assert (service["read_only"], service["cap_drop"], service["init"]) == (True, ["ALL"], True)
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert not {"privileged", "ports", "user", "cap_add", "devices"} & set(service)


def test_only_nginx_has_a_door_and_no_way_to_the_database() -> None:
    services = composed()["services"]
    assert [name for name, service in services.items() if "ports" in service] == ["nginx"]
    networks = {name: set(service["networks"]) for name, service in services.items()}
    assert not networks["nginx"] & networks["postgres"]


def test_no_secret_is_in_an_environment() -> None:
    for name, service in composed()["services"].items():
        for variable in service.get("environment", {}):
            assert not any(word in variable for word in ("SECRET", "TOKEN", "PASSWORD", "DATABASE_URL")) or (
                variable.endswith("_FILE")
            ), f"{name}: {variable}"


def test_what_is_asked_to_stop_has_the_time_for_it() -> None:
    """Docker kills after 10 s, and other engines at once, unless a service says how long it needs."""
    for name, service in composed()["services"].items():
        assert service.get("stop_grace_period", "") in ("30s", "1m0s"), name
