"""Owns Python environments built by uv from declared files and cached by their content; refuses other kinds."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.adapters.backends.steps.declared import Unbuildable, content_hash, contents_of

_LOCAL = re.compile(
    rb"""^[ \t]*(?:
        (?:-e|--editable)[ =]
      | (?:-f|--find-links)[ =]?+[ \t]*+(?!\w+://)
      | \.{1,2}(?:[/\[\s]|$)                 # a project: ./libs/common[extra]
      | [^\s\#:]+\.(?:whl|zip|tar\.\w+)\b  # a package: wheels/common-1.0-py3-none-any.whl
      | [^\#\n]*@[ \t]*(?:file:|\.)         # common @ file:libs/common
    )""",
    re.MULTILINE | re.VERBOSE,
)
"""What installs from the repository itself: nobody knows from which files, and an editable install points into them."""

Run = Callable[[Sequence[str], Path], int]
"""Runs a command in a folder with its output in the log; its exit code, negative for the signal that ended it."""
_LOOK_SECONDS = 0.05
_PASSED_ON = frozenset(
    {"PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy"}
)


def passed_on(*prefixes: str) -> dict[str, str]:
    """Of this process's environment, what an installer needs and nothing secret: variables with one of ``prefixes``
    besides."""
    return {name: value for name, value in os.environ.items() if name in _PASSED_ON or name.startswith(prefixes)}


class Interrupted(Exception):
    """Something ended uv from outside: nobody's fault who wrote the files, and worth another attempt."""


@dataclass(frozen=True)
class Shelf:
    """Where environments stand: ``shared`` ones by their content, one that depends on the run's own files in ``private``."""

    shared: Path
    private: Path


def environment_for(
    shelf: Shelf, files: Sequence[str], source: Path, uv: str, run: Run, check: Callable[[], None]
) -> tuple[Path, str]:
    """The interpreter of an environment that has what ``files`` (below ``source``) declare, and its content hash.

    One process builds, others wait, and call ``check``, which raises when they shall not; what a killed build left is
    thrown away.
    """
    contents = contents_of(files, source)
    name = content_hash(contents)
    if any(_LOCAL.search(content) for content in contents.values()):
        _build(shelf.private, files, source, uv, run)
        return shelf.private / "bin" / "python", name
    folder, complete = shelf.shared / name, shelf.shared / name / ".complete"
    shelf.shared.mkdir(parents=True, exist_ok=True)
    with (shelf.shared / f"{name}.lock").open("w") as lock:
        while not complete.exists() and not _locked(lock.fileno()):
            check()
            time.sleep(_LOOK_SECONDS)
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _build(folder, files, source, uv, run)
            complete.touch()
            os.sync()
    return folder / "bin" / "python", name


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _build(folder: Path, files: Sequence[str], source: Path, uv: str, run: Run) -> None:
    if _finished(run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], source)):
        raise Unbuildable("building the environment: uv could not make it; the log has its words")
    if files:
        wanted = [word for name in files for word in ("--requirement", name)]
        python = str(folder / "bin" / "python")
        if _finished(run([uv, "pip", "install", "--python", python, *wanted], source)):
            shutil.rmtree(folder, ignore_errors=True)
            raise Unbuildable(
                f"building the environment: uv could not install {', '.join(files)}; the log has its words"
            )


def _finished(code: int) -> int:
    if code < 0:
        raise Interrupted(f"building the environment: uv was ended by {signal.Signals(-code).name}")
    return code
