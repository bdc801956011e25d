"""Owns works to submit, and one bench for each backend to submit them to; refuses to know how a backend runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from textwrap import dedent

import uv

from service.adapters.backends import make_backend
from service.adapters.backends.azureml.backend import AzureMLBackend
from service.adapters.backends.sagemaker.backend import SageMakerBackend
from service.adapters.backends.sagemaker.compiler import Compiler
from service.domain.errors import Refused
from service.domain.execution import Artifact, Observation, Seen
from service.domain.ingredients import Ingredients
from service.domain.pipeline import Component, Input, Limits
from service.ports.backend import Backend, LogLine, Work
from tests import azureml
from tests.emulators.sagemaker.process import reachable
from tests.sdks import azure_sdks, sdks

PATIENCE = 120.0
_tokens = count(1)

FLAGS = """
import sys
flags = dict(zip((word[2:] for word in sys.argv[1::2]), sys.argv[2::2]))
def write(name, text):
    with open(flags[name], "w") as file:
        file.write(text)
def read(name):
    with open(flags[name]) as file:
        return file.read()
"""
"""What scripts of tests import: each flag's value, and the files that flags name."""


@dataclass(frozen=True)
class Files:
    """Implements the source: a commit of these files."""

    contents: Mapping[str, str | bytes]

    def export(self, target: Path) -> None:
        for name, content in self.contents.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def work(
    script: str = "",
    *,
    run: str = "step.py",
    files: Mapping[str, str | bytes] | None = None,
    inputs: Mapping[str, Input] | None = None,
    upstream: Mapping[str, Artifact] | None = None,
    outputs: Sequence[str] = (),
    metrics: str | None = None,
    flags: Sequence[tuple[str, Sequence[str]]] = (),
    environment: Sequence[str] = (),
    timeout: float | None = None,
    token: str = "",
) -> Work:
    """One attempt at a step whose script is ``script``, unless ``run`` says otherwise."""
    component = Component(
        "step",
        run,
        inputs=tuple((inputs or {}).items()),
        outputs=tuple(outputs),
        metrics=metrics,
        limits=Limits(timeout),
    )
    ingredients = Ingredients(component, (), tuple((name, tuple(texts)) for name, texts in flags))
    token = token or f"attempt-{next(_tokens):06}"
    return Work(
        token=token,
        submission=token,
        repository="acme/diamonds",
        pipeline="diamonds",
        commit="1" * 40,
        ingredients=ingredients,
        inputs=upstream or {},
        environment=tuple(environment),
        source=Files({"flags.py": FLAGS, "step.py": dedent(script), **(files or {})}),
    )


def submit(backend: Backend, one: Work) -> str:
    """Submit a step alone; its handle."""
    (handle,) = backend.submit([one])
    return handle


class Bench:
    """A backend under test. ``again`` gives another instance over the same state, as after a restart."""

    def __init__(self, again: Callable[[], Backend]) -> None:
        self.again = again
        self.backend = again()

    def ended(self, handle: str) -> Observation:
        """Look until it has ended."""
        return self.seen(handle, lambda observation: observation.seen is not Seen.RUNNING)

    def seen(self, handle: str, enough: Callable[[Observation], bool]) -> Observation:
        deadline = time.monotonic() + PATIENCE
        while not enough(observation := self.backend.observe(handle)):
            assert time.monotonic() < deadline, f"still {observation}, {self.backend.logs(handle, 0, 50)}"
            time.sleep(0.02)
        return observation

    def run(self, script: str, **more: object) -> Observation:
        """Submit and wait for the end. A backend may refuse at once what another finds out later: whoever drives it makes
        a failed attempt of both."""
        try:
            handle = submit(self.backend, work(script, **more))  # type: ignore[arg-type]
        except Refused as refusal:
            return Observation(Seen.FAILED, error=refusal.reason, ended_at=datetime.now(UTC))
        return self.ended(handle)

    def until_said(self, handle: str, text: str) -> LogLine:
        """Wait for a line of the log."""
        deadline = time.monotonic() + PATIENCE
        while True:
            lines = self.backend.logs(handle, 0, 10_000)
            for line in lines:
                if text in line.text:
                    return line
            assert time.monotonic() < deadline, f"never said {text!r}: {lines}"
            time.sleep(0.02)


def said(bench: Bench, handle: str, *streams: str) -> list[str]:
    """The lines of these streams."""
    return [line.text for line in bench.backend.logs(handle, 0, 10_000) if line.stream in streams]


def local(root: Path) -> Bench:
    return Bench(lambda: make_backend("local", root, uv=uv.find_uv_bin()))


@contextmanager
def sagemaker(root: Path) -> Iterator[Bench]:
    """On an emulator of its own, whose images have the tests' interpreter."""
    compiler = Compiler(sdks(), root / "compiler")
    with reachable(root / "emulator") as cloud:
        yield Bench(lambda: SageMakerBackend(cloud.declared(), root / "state", compiler=compiler, poll=(0.1, 0.3)))
    compiler.close()


@contextmanager
def on_azureml(root: Path) -> Iterator[Bench]:
    """On an emulator of its own, whose images have the tests' interpreter."""
    with azureml.reachable(root / "emulator") as cloud:
        given = azureml.declared(cloud)
        yield Bench(lambda: AzureMLBackend(given, root / "state", sdks=azure_sdks(), poll=(0.1, 0.3)))


BENCHES: dict[str, Callable[[Path], AbstractContextManager[Bench]]] = {
    "azureml": on_azureml,
    "local": lambda root: nullcontext(local(root)),
    "sagemaker": sagemaker,
}
"""One line for each backend that keeps the contract."""
