"""Owns the configured repositories, name → mirror; refuses any that the operator did not name."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.adapters.git.mirror import Mirror
from service.domain.errors import Refused


class MirrorHost:
    """Implements the git host port: one mirror for each configured repository, made on first use."""

    def __init__(
        self, folder: Path, urls: Mapping[str, str], *, token: str = "", protocols: Sequence[str] = ("https",)
    ) -> None:
        self._folder = folder
        self._urls = {name.lower(): url for name, url in urls.items()}
        self._token = token
        self._protocols = protocols
        self._lock = threading.Lock()
        self._mirrors: dict[str, Mirror] = {}

    def repository(self, name: str) -> Mirror:
        key = name.lower()
        if key not in self._urls:
            raise Refused(
                f"reading {name}: this server is not configured for it; REFIT_REPOSITORIES names those it serves"
            )
        with self._lock:
            if key not in self._mirrors:
                folder = self._folder / f"{key.replace('/', '__')}.git"
                self._mirrors[key] = Mirror(folder, self._urls[key], token=self._token, protocols=self._protocols)
            return self._mirrors[key]

    def close(self) -> None:
        with self._lock:
            for mirror in self._mirrors.values():
                mirror.close()
            self._mirrors.clear()
