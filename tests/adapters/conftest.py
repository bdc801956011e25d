"""Owns what tests of the adapters share: the parsing process, a git server with its gate, a mirror, an emulator; refuses to fake
them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from service.adapters.backends.azureml.backend import AzureMLBackend
from service.adapters.git.mirror import Mirror
from service.adapters.reading import IsolatedReader
from service.cli.demo.git_server import GitServer
from tests import azureml
from tests.emulators.azureml.process import AzureML
from tests.emulators.sagemaker.process import SageMaker, reachable
from tests.origins import Gate, Origin, mirrored

_pipelines = count(1)


@pytest.fixture(scope="session")
def reader() -> Iterator[IsolatedReader]:
    with IsolatedReader() as made:
        yield made


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("srv")) as made:
        yield made


@pytest.fixture
def origin(tmp_path: Path, server: GitServer) -> Origin:
    """A repository of the test's own, served by the server."""
    return Origin(server.create(f"acme/{tmp_path.name}"))


@pytest.fixture
def gate(server: GitServer, origin: Origin) -> Iterator[Gate]:
    """Before the origin."""
    with Gate(server.url(f"acme/{origin.path.stem}")) as made:
        yield made


@pytest.fixture
def mirror(tmp_path: Path, gate: Gate) -> Iterator[Mirror]:
    """Of the origin, through the gate; not fetched yet."""
    made = mirrored(tmp_path, gate.url())
    yield made
    made.close()


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SageMaker]:
    """An emulator of the module's own."""
    with reachable(tmp_path_factory.mktemp("sagemaker")) as made:
        yield made


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureML]:
    """An emulator of the module's own."""
    with azureml.reachable(tmp_path_factory.mktemp("azureml")) as made:
        yield made


@pytest.fixture
def backend(azure: AzureML, tmp_path: Path) -> AzureMLBackend:
    """On that emulator, with state of the test's own."""
    return azureml.opened(azure, tmp_path)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Of a pipeline: each test has its own, and so an empty list of executions."""
    return f"{request.node.originalname}-{next(_pipelines)}"
