"""Owns a component's ``run`` text → the Python program it starts, or the admission that anything may run; refuses to
run it, and to look whether its files exist."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.facts import Doubt
from service.domain.names import RepoPath

_PYTHON = re.compile(r"python(?:3(?:\.\d+)?)?")
_OPERATORS = frozenset("();<>|&\n")
_TAKES_VALUE = "XW"
_CHANGES_PATH = "IPE"  # isolated, safe path, ignore PYTHONPATH


@dataclass(frozen=True, slots=True)
class Command:
    """What starts: a ``script``, a ``module`` (``python -m``), or neither if ``opaque``. ``arguments`` are the other
    words that could be paths inside the repository."""

    script: RepoPath | None = None
    module: str | None = None
    arguments: tuple[str, ...] = ()
    doubts: tuple[Doubt, ...] = ()

    @property
    def opaque(self) -> bool:
        return self.script is None and self.module is None


def is_command(text: str) -> bool:
    """Whether a text can be split into words at all, and has one."""
    return bool(_words(text))


def parse_command(text: str) -> Command:
    """A bare script path, ``python script …``, ``python -m module …``; everything else may run any file."""
    words = _words(text)
    if not words:
        return Command(doubts=(Doubt(f"the command {text!r} cannot be split into words", widen="all"),))
    script, module, doubts = _program(words)
    if any(_OPERATORS.issuperset(word) for word in words if word) or "`" in text or "$(" in text:
        script, module = None, None
    if script is None and module is None:
        doubts = [Doubt(f"`{words[0]}` may run any file", widen="all")]
    arguments = dict.fromkeys(path for word in words if (path := _path(word)) and path != script)
    return Command(script, module, tuple(arguments), tuple(doubts))


def _words(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:
        return []


def _path(word: str) -> RepoPath | None:
    """The path that a word or an option's value (``--config=x.yaml``) may be."""
    value = word.partition("=")[2] if word.startswith("-") or "=" in word else word
    if not value or value.startswith("/") or "${{" in value:
        return None
    plain = posixpath.normpath(value)
    return None if plain == "." or plain == ".." or plain.startswith("../") else plain


def _program(words: list[str]) -> tuple[RepoPath | None, str | None, list[Doubt]]:
    rest: Iterator[str] = iter(words)
    first = next(rest)
    if first.endswith((".py", ".ipynb")):
        return posixpath.normpath(first), None, []
    if not _PYTHON.fullmatch(posixpath.basename(first)):
        return None, None, []
    doubts: list[Doubt] = []
    for word in rest:
        if not word.startswith("-") or word == "-":
            return (posixpath.normpath(word) if word != "-" else None), None, doubts
        for at, letter in enumerate(word[1:], start=2) if not word.startswith("--") else ():
            value = word[at:]
            if letter == "m":
                return None, value or next(rest, ""), doubts
            if letter == "c":
                return None, None, []
            if letter in _CHANGES_PATH:
                doubts.append(Doubt(f"`-{letter}` changes the import path", widen="python"))
            if letter in _TAKES_VALUE:
                if not value:
                    next(rest, None)
                break
    return None, None, []
