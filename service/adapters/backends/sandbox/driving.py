"""Owns one question to a script inside the sandbox: its files, its environment, its answer as JSON, its last words; refuses to
say what an answer means."""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.adapters.backends.sandbox.sandbox import SECONDS, NoNamespaces, Sandbox, TooLong
from service.domain.errors import Refused
from service.domain.names import shown

_SHARED = Path(__file__).resolve().parent / "inside"
_MOST_ANSWER = 64 * 1024 * 1024
_MOST_WORDS = 1_500
_EXPOSED = "with this service's network and files in reach"
_MENDING = "allow user namespaces (docs/security.md says how), or set REFIT_COMPILE_UNCONFINED=true"
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
}


@dataclass(frozen=True)
class Question:
    """What to run: ``script`` with the interpreter that ``python`` gives, about the file ``path`` of a checkout; where nothing
    may run, no SDK is installed either. ``request`` is what it is told besides the checkout's place. ``files`` are written beside
    its home, by their names; ``environment`` is all that it sees besides the usual, given that folder. ``warm`` is a statement
    that imports the SDK."""

    path: str
    python: Callable[[], Path]
    script: Path
    request: Mapping[str, object]
    warm: str
    files: Mapping[str, str] = field(default_factory=dict)
    environment: Callable[[Path], Mapping[str, str]] = lambda _: {}


class Driving:
    """Asks one at a time, in ``folder``, which is two below the service's home: of that the repository's code writes nothing.
    ``hidden`` is what it must not even find; ``unconfined`` is the operator's word that it may run where this machine allows no
    namespaces."""

    def __init__(self, folder: Path, hidden: tuple[Path, ...] = (), *, unconfined: bool = False) -> None:
        self._folder = folder
        self._home = folder.parents[1]
        self.sandbox = Sandbox(folder / "sandbox", hidden, unconfined)

    def isolation(self) -> str:
        """Which of three it is on this machine, in words, tried for real: a repository's code is kept apart, or refused, or
        exposed by the operator's word."""
        missing = self.sandbox.missing()
        if not missing:
            return "compiled in namespaces of their own"
        if self.sandbox.unconfined:
            return f"{missing}, and REFIT_COMPILE_UNCONFINED is set: compiled {_EXPOSED}"
        return f"{missing}: refused; {_MENDING}"

    @contextlib.contextmanager
    def answered(
        self, question: Question, export: Callable[[Path], None]
    ) -> Iterator[tuple[Mapping[str, Any], Path, Path]]:
        """The answer, the folder of the objects that the script left, and the checkout, which ``export`` wrote into an empty
        folder; all of them are gone afterwards. ``Refused`` says what the code raised and where, or why it may not run."""
        self._permit(question)
        self._folder.mkdir(parents=True, exist_ok=True)
        with (
            self.sandbox.checkout() as (place, seen_as),
            tempfile.TemporaryDirectory(prefix="compile-", dir=self._folder) as scratch,
        ):
            export(place)
            answer = self._answer(question, place, seen_as, Path(scratch))
            if "error" in answer:
                words = shown(str(answer["error"]))[:_MOST_WORDS]
                raise Refused(f"compiling {question.path}: {words}; mend it there, and push")
            yield answer, Path(scratch) / "objects", place

    def _permit(self, question: Question) -> None:
        try:
            self.sandbox.permit()
        except NoNamespaces:
            raise Refused(
                f"compiling {question.path}: {self.sandbox.missing()}, so it would run {_EXPOSED}; {_MENDING}, or declare "
                "its components in refit.yaml, which needs no compile"
            ) from None

    def _answer(self, question: Question, place: Path, seen_as: str, scratch: Path) -> Mapping[str, Any]:
        for name in ("objects", "home", "tmp"):
            (scratch / name).mkdir()
        for name, text in question.files.items():
            (scratch / name).write_text(text, encoding="utf-8")
        request, answer, log = scratch / "request.json", scratch / "answer.json", scratch / "log"
        told = {**question.request, "root": seen_as, "path": question.path}
        request.write_text(json.dumps(told), encoding="ascii")
        python = question.python()
        words = (python, "-P", "-s", "-B", question.script, request, answer, scratch / "objects", _SHARED)
        try:
            kept = (self._home, _warmed(question, python, scratch), question.script.parent, _SHARED)
            environment = _environment(question, scratch)
            code = self.sandbox.run([*map(str, words)], place, environment, log, kept=kept, own=scratch)
        except TooLong:
            raise Refused(f"compiling {question.path}: it takes longer than {SECONDS:.0f} s") from None
        try:
            with answer.open("rb") as file:
                content = file.read(_MOST_ANSWER + 1)
            if len(content) <= _MOST_ANSWER:
                return dict(json.loads(content))
        except (OSError, ValueError):
            pass
        last = log.read_bytes()[-_MOST_WORDS:].decode("utf-8", "replace").strip()
        return {"error": f"the process ended with {code} and no answer: {last or 'it said nothing'}"}


def _environment(question: Question, scratch: Path) -> dict[str, str]:
    """All that the code sees: nothing of the service's own environment."""
    own = {"HOME": str(scratch / "home"), "TMPDIR": str(scratch / "tmp")}
    return {**_ENVIRONMENT, **own, **question.environment(scratch)}


def _warmed(question: Question, python: Path, scratch: Path) -> Path:
    """The folder of the SDK's environment, whose modules are compiled to bytecode once, by themselves: in the sandbox nothing
    is written, and parsing them each time takes a third of a compile."""
    folder = python.parent.parent
    done = folder / ".warm"
    if not done.exists():
        subprocess.run(
            [str(python), "-P", "-s", "-c", question.warm],
            cwd=scratch,
            env=_environment(question, scratch),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=SECONDS,
            check=False,
        )
        done.touch()
    return folder
