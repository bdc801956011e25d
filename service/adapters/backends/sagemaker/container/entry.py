"""Owns the layout of a SageMaker job's container, ``/opt/ml``, and the start of its step there; refuses to know S3, which is
SageMaker's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from service.adapters.backends.sagemaker.container import places
from service.adapters.backends.steps.container.step import Step


class OptMl:
    """Implements the layout. ``ml`` is ``/opt/ml``."""

    def __init__(self, spec: Mapping[str, Any], ml: Path) -> None:
        self._kind: str = spec["kind"]
        self._metrics: str = spec["metrics"] or ""
        self._ml = ml

    @property
    def scratch(self) -> Path:
        return self._ml

    @property
    def bundle(self) -> Path:
        return next(self.input(places.BUNDLE).glob("*.tar.gz"))

    @property
    def last_words(self) -> Sequence[Path]:
        """The first of a processing job, the second of a training job."""
        return [self._ml / "output" / name for name in ("message", "failure")]

    def arrived(self, name: str) -> Path:
        return self.input(places.input_channel(name))

    def input(self, name: str) -> Path:
        return self._ml / places.channel(self._kind, name)

    def output(self, name: str) -> Path:
        return self._ml / places.output(self._kind, name)

    def entry(self, name: str) -> str:
        return places.entry(self._kind, name, self._metrics)


def main(spec: Mapping[str, Any], ml: Path = Path("/opt/ml")) -> int:
    """Run the step of this container."""
    return Step(spec, OptMl(spec, ml)).run()
