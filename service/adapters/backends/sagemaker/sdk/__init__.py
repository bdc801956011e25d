"""Owns the Pythons that have a SageMaker SDK, one for each major version, from hash-pinned locks; refuses to import an SDK."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from service.adapters.backends.steps.declared import Unbuildable
from service.adapters.backends.steps.environments import Interrupted, Shelf, environment_for, passed_on
from service.domain.errors import Retry

Version = Literal["v2", "v3"]
_HERE = Path(__file__).resolve().parent
_LONGEST_WORDS = 2_000


class Sdks:
    """Environments below ``folder``, built when first asked for, by content: a new lock is another environment, and one that
    a crash cut off is built anew. The two SDKs exclude each other, and this process."""

    def __init__(self, folder: Path, *, uv: str) -> None:
        self._folder = folder
        self._uv = uv

    def python(self, version: Version) -> Path:
        """The interpreter that has this SDK. The first call takes as long as an installation; others wait for it. ``Retry``
        if it cannot be had now: the registry may be away."""
        shelf = Shelf(self._folder, self._folder / "unused")  # a lock names nothing of a repository
        try:
            return environment_for(shelf, [f"{version}.lock"], _HERE, self._uv, self._run, lambda: None)[0]
        except (Unbuildable, Interrupted) as problem:
            words = self._log.read_text(errors="replace")[-_LONGEST_WORDS:] if self._log.exists() else ""
            raise Retry(
                f"building the environment of SageMaker's SDK {version}: {words.strip() or problem}"
            ) from problem

    @property
    def _log(self) -> Path:
        return self._folder / "uv.log"

    def _run(self, command: Sequence[str], folder: Path) -> int:
        """uv with the operator's own settings and nothing secret."""
        with self._log.open("wb") as log:
            return subprocess.run(
                command, cwd=folder, env=passed_on("UV_"), stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False
            ).returncode
