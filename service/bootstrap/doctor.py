"""Owns the checks of every setting against the real thing; refuses to mend anything."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import uv

from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.bootstrap.backends import open_backends, open_definitions
from service.bootstrap.parts import make_home, open_database
from service.domain.errors import Refused
from service.ports.backend import Backend
from service.ports.git_host import GitHost
from service.settings import Settings


@dataclass(frozen=True)
class Check:
    """One thing that was tried for real; ``detail`` says what was found, and the next step when it fails."""

    name: str
    ok: bool
    detail: str


def examine() -> list[Check]:
    """Try every setting against the real thing."""
    try:
        settings = Settings()
    except ValueError as error:
        return [Check("settings", False, str(error))]
    checks = [
        Check("python", True, platform.python_version()),
        _tried(
            "git",
            lambda: subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout.strip(),
        ),
        _tried("uv", lambda: uv.find_uv_bin()),
        _tried("database", lambda: _tried_database(settings)),
        *_tried_backends(settings),
        _tried("native definitions", lambda: _tried_definitions(settings)),
        Check("webhook secret", bool(settings.secrets), "set" if settings.secrets else "set REFIT_WEBHOOK_SECRET"),
    ]
    for name in settings.repositories:
        checks.append(_tried(f"repository {name}", partial(_tried_repository, settings, name)))
    return checks


def _tried(name: str, act: Callable[[], object]) -> Check:
    try:
        return Check(name, True, str(act()))
    except Exception as error:  # a doctor reports every failure, whatever it is
        reason = error.reason if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        return Check(name, False, reason)


def _tried_backends(settings: Settings) -> list[Check]:
    """That they can be opened, and for each what would keep it from running steps."""
    opened: dict[str, Backend] = {}

    def opening() -> str:
        opened.update(open_backends(settings))
        return ", ".join(opened)

    checks = [_tried("backends", opening)]
    for name, backend in opened.items():
        if problems := backend.examine():
            checks += [Check(f"backend {name}", False, problem) for problem in problems]
        else:
            checks.append(Check(f"backend {name}", True, "ready"))
    return checks


def _tried_definitions(settings: Settings) -> str:
    with IsolatedReader() as reader:
        return open_definitions(settings, reader).isolation()


def _tried_database(settings: Settings) -> str:
    make_home(settings)
    with open_database(settings) as store:
        have, want = store.head()
    return f"migrated to {have}" if have == want else f"at {have}; `refit serve` migrates it to {want}"


def _tried_repository(settings: Settings, name: str) -> str:
    hosts: GitHost = MirrorHost(
        settings.home / "mirrors",
        settings.repositories,
        token=settings.github_token.get_secret_value(),
        protocols=tuple(settings.git_protocols.split(":")),
    )
    return f"{len(hosts.repository(name).fetch())} refs fetched"
