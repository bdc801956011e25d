"""Owns the engine and the images of the container tests, made once in a run; refuses to skip silently."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.conftest import absent
from tests.container import images
from tests.container.engine import Engine, missing


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with three images: the base's stand-in, the project's, and one with its neighbours."""
    if how := missing():
        absent("container", how)
    folder = tmp_path_factory.mktemp("engine")
    with ExitStack() as closing:
        try:
            made = closing.enter_context(Engine(folder))
        except RuntimeError as error:
            absent("container", f"this machine allows no namespaces: {error}")
        base = images.base(made, folder)
        with ThreadPoolExecutor(2) as at_once:
            project = at_once.submit(images.build, made, folder)
            images.neighbours(made, folder, base)
            project.result()
        yield made


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    return images.IMAGE
