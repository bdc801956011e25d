"""Owns what a compile reads of its checkout: files, folders listed, paths whose existence was asked, misses too; refuses
files outside it. Runs in the SDK's environment, so the standard library is all that it imports.
"""

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

_ESCAPES = ("subprocess.Popen", "os.system", "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "ctypes.dlopen")
"""What can read files unseen. ``ctypes.dlopen`` with no name, as libraries do to look at themselves, reads none."""


class Watch:
    """Watches from now on; ``answer`` says what was seen so far. Audit hooks see what opens and lists; a mere question
    whether something exists raises no event, so the functions that ask are wrapped."""

    def __init__(self, root: str) -> None:
        self._root = os.path.realpath(root)
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._asked: set[str] = set()
        self._escaped: set[str] = set()
        for name in ("stat", "lstat", "access", "readlink"):
            setattr(os, name, self._asking(getattr(os, name)))
        sys.addaudithook(self._event)

    def answer(self) -> dict[str, list[str]]:
        return {
            "read": sorted(self._files),
            "listed": sorted(self._folders),
            "asked": sorted(self._asked),
            "escaped": sorted(self._escaped),
        }

    def _event(self, event: str, arguments: Any) -> None:
        if event in ("open", "sqlite3.connect"):
            self._note(self._files, arguments[0])
        elif event == "import":
            if arguments[1]:  # an extension module: it is opened where no event tells of it
                self._note(self._files, arguments[1])
        elif event in ("os.listdir", "os.scandir", "os.chdir"):
            self._note(self._folders, arguments[0] if arguments and arguments[0] is not None else ".")
        elif event in _ESCAPES and not (event == "ctypes.dlopen" and (not arguments or arguments[0] is None)):
            self._escaped.add(event)

    def _asking(self, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def asked(path: Any, *args: Any, **more: Any) -> Any:
            self._note(self._asked, path)
            return real(path, *args, **more)

        return asked

    def _note(self, where: set[str], path: Any) -> None:
        if isinstance(path, int):
            return  # it was opened before, by its name
        try:
            text = os.path.normpath(os.path.join(os.getcwd(), os.fsdecode(path)))
        except (TypeError, ValueError, OSError):
            return
        if text == self._root or text.startswith(self._root + os.sep):
            where.add(os.path.relpath(text, self._root).encode("utf-8", "surrogateescape").decode("latin-1"))
