"""Owns a commit's module → its pipeline as a document, converted by Azure's SDK in a sandbox and remembered by what it saw;
refuses to let it see a credential, and to say what the document means."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.adapters.backends.sandbox.driving import Driving, Question
from service.adapters.backends.sandbox.footprint import Seen, seen_of
from service.adapters.backends.sandbox.remembering import Remembered
from service.adapters.backends.steps.declared import content_hash
from service.domain.errors import Refused
from service.domain.tree import Tree
from service.ports.git_host import Repository

_SCRIPT = Path(__file__).resolve().parent / "inside" / "refit_convert.py"
_WARM = "import azure.ai.ml, azure.ai.ml.dsl, azure.ai.ml.entities, azure.ai.ml.sweep, azure.identity, yaml"
_LOCK = Path(__file__).resolve().parents[1] / "sdk" / "azureml.lock"


@dataclass(frozen=True)
class Conversion:
    """A document, and the same converted at another time: where they differ, they say nothing of the commit."""

    document: Mapping[str, Any]
    again: Mapping[str, Any]
    seen: Seen
    text: str


class SandboxConverter:
    """Converts one at a time. ``python`` gives the interpreter that has the SDK, and raises ``Retry`` if it cannot be had now.
    ``unconfined`` is the operator's word that code may run where this machine allows no namespaces."""

    def __init__(
        self, python: Callable[[], Path], folder: Path, hidden: tuple[Path, ...] = (), *, unconfined: bool = False
    ) -> None:
        self._python = python
        self._driving = Driving(folder, hidden, unconfined=unconfined)
        self._remembered = Remembered(folder / "converted", conversion_of)

    @property
    def compiles(self) -> int:
        """How often a module had to be converted."""
        return self._remembered.compiles

    def isolation(self) -> str:
        """How far a repository's code is kept apart on this machine, in words, tried for real."""
        return self._driving.isolation()

    def converted(
        self, path: str, arguments: Mapping[str, Any], repository: Repository, commit: str, tree: Tree
    ) -> Conversion:
        """What the function of ``module.py:function`` makes; ``Refused`` with its own last words."""
        use = json.dumps([path, dict(arguments), _lock()], sort_keys=True)
        return self._remembered.compiled(use, tree, lambda: self._convert(path, arguments, repository, commit))

    def _convert(self, path: str, arguments: Mapping[str, Any], repository: Repository, commit: str) -> Conversion:
        question = Question(
            path=path,
            python=self._python,
            script=_SCRIPT,
            request={"with": dict(arguments)},
            warm=_WARM,
            environment=lambda scratch: {
                "AZURE_CONFIG_DIR": str(scratch / "home"),
                "AZURE_TOKEN_CREDENTIALS": "prod",
            },
        )
        with self._driving.answered(question, lambda target: repository.export(commit, target)) as (answer, _, _):
            try:
                return _read(answer)
            except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
                raise Refused(f"compiling {path}: it gives no definition ({type(error).__name__})") from error


def _read(answer: Mapping[str, Any]) -> Conversion:
    document, again = json.loads(answer["document"]), json.loads(answer["again"])
    if not isinstance(document, dict) or not isinstance(again, dict):
        raise ValueError("no mapping")
    return Conversion(document, again, seen_of(answer), json.dumps(answer, sort_keys=True))


def conversion_of(text: str) -> Conversion:
    """What was kept of an earlier conversion."""
    return _read(json.loads(text))


def _lock() -> str:
    """Another SDK may write another document."""
    return content_hash({_LOCK.name: _LOCK.read_bytes()})
