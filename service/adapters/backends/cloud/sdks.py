"""Owns the Pythons that have a cloud's SDK, one for each hash-pinned lock of a folder; refuses to import an SDK."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from service.adapters.backends.steps.declared import Unbuildable
from service.adapters.backends.steps.environments import Interrupted, Shelf, environment_for, passed_on
from service.domain.errors import Retry

_LONGEST_WORDS = 2_000


class SdkEnvironments:
    """Environments below ``folder``, built when first asked for, by content: a new lock is another environment, and one that
    a crash cut off is built anew. ``locks`` holds the lock files, ``vendor`` is whose SDK it is. SDKs exclude each other, and
    this process."""

    def __init__(self, folder: Path, locks: Path, *, vendor: str, uv: str) -> None:
        self._folder = folder
        self._locks = locks
        self._vendor = vendor
        self._uv = uv

    def interpreter(self, name: str) -> Path:
        """The interpreter that has what ``<name>.lock`` says. The first call takes as long as an installation; others wait
        for it. ``Retry`` if it cannot be had now: the registry may be away."""
        shelf = Shelf(self._folder, self._folder / "unused")  # a lock names nothing of a repository
        try:
            return environment_for(shelf, [f"{name}.lock"], self._locks, self._uv, self._run, lambda: None)[0]
        except (Unbuildable, Interrupted) as problem:
            words = self._log.read_text(errors="replace")[-_LONGEST_WORDS:] if self._log.exists() else ""
            raise Retry(
                f"building the environment of {self._vendor}'s SDK {name}: {words.strip() or problem}"
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
