"""Owns a repository of a test's own and what assesses its commits; refuses to know what is in it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from service.adapters.git.checkout import Checkout
from service.domain.assessment import Assessment
from service.flow.assess import Assessor
from service.ports.definitions import Definitions
from service.ports.reader import Reader


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True)
    return done.stdout


class Forgetful:
    """No facts outlive a process here."""

    def get(self, requests: object, version: str) -> dict[object, object]:
        return {}

    def put(self, facts: object, version: str) -> None:
        return None


class Desk:
    """``folder`` is a repository's files, which become one with the first commit. Backends are ``aws`` and ``azure``."""

    def __init__(self, folder: Path, definitions: Definitions, reader: Reader) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "-q", "-b", "main")
        self.definitions = definitions
        self._reader = reader
        self.assessor = self.fresh()

    def fresh(self) -> Assessor:
        backends = ("local", "aws", "azure")
        return Assessor(self._reader, Forgetful(), backends, self.definitions)  # type: ignore[arg-type]

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.folder / path).read_text()
        assert old in text
        self.write(path, text.replace(old, new))

    def commit(self) -> str:
        git(self.folder, "add", "-A")
        git(self.folder, "commit", "-q", "--allow-empty", "-m", "x")
        return git(self.folder, "rev-parse", "HEAD").strip()

    def at(self, sha: str, assessor: Assessor | None = None, **more: str) -> Assessment:
        with Checkout(self.folder) as repository:
            return (assessor or self.assessor).at("acme/diamonds", repository, sha, **more)

    def across(self, edit: Callable[[Desk], object]) -> tuple[Assessment, Assessment, Assessment]:
        """Before an edit; after it; and after it by somebody who knows nothing of before."""
        before = self.at(self.commit())
        edit(self)
        head = self.commit()
        return before, self.at(head), self.at(head, self.fresh())


def keys(assessment: Assessment) -> dict[str, str]:
    """Step → its static key; of a pipeline that is not the only one, with its name before it."""
    several = len(assessment.manifest.pipelines) > 1
    found = {}
    for (pipeline, name), one in assessment.components.items():
        found[f"{pipeline}/{name}" if several else name] = one.ingredients.static_key
    return found


def changed(before: Assessment, after: Assessment) -> set[str]:
    was, now = keys(before), keys(after)
    assert was.keys() == now.keys()
    return {name for name in was if was[name] != now[name]}
