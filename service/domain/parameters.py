"""Owns which parameter values a component reads and the flags that pass them on; refuses to read the files itself."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from service.domain.facts import Doubt, Evidence, Kind, Leaf, ValuesFacts
from service.domain.names import RepoPath
from service.domain.tree import Tree

DEFAULT_FILE = "params.yaml"
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_DEPTH = 20
_KINDS = {".json": Kind.JSON, ".toml": Kind.TOML}
ABSENT = "absent"
"""The value of a parameter that its file does not have: neither null nor anything a file can say."""


@dataclass(frozen=True, slots=True)
class Selected:
    """``values``: subject (``train.learning_rate``, or ``conf/x.yaml:lr``) → canonical reading. ``flags``: flag name →
    the texts to pass, as the file has them. ``targets``: dotted names under Hydra's ``_target_``."""

    values: tuple[tuple[str, str], ...]
    flags: tuple[tuple[str, tuple[str, ...]], ...]
    looked_up: frozenset[RepoPath]
    targets: tuple[str, ...]
    doubts: tuple[tuple[RepoPath, Doubt], ...]


def select(params: Sequence[str], tree: Tree, evidence: Evidence) -> Selected:
    """What the ``params:`` entries name: ``key.path`` in ``params.yaml``, ``file:key.path``, or ``file:`` for all of it."""
    reading = _Selection(tree, evidence)
    for entry in params:
        file, separator, key = entry.rpartition(":")
        reading.add(posixpath.normpath(file) if separator else DEFAULT_FILE, key)
    return Selected(
        tuple(sorted(reading.values.items())),
        tuple((name, tuple(texts)) for name, texts in reading.flags.items()),
        frozenset(reading.looked_up),
        tuple(dict.fromkeys(reading.targets)),
        tuple(dict.fromkeys(reading.doubts)),
    )


@dataclass
class _Selection:
    """The answer under construction."""

    tree: Tree
    evidence: Evidence
    values: dict[str, str] = field(default_factory=dict)
    flags: dict[str, list[str]] = field(default_factory=dict)
    looked_up: set[RepoPath] = field(default_factory=set)
    targets: list[str] = field(default_factory=list)
    doubts: list[tuple[RepoPath, Doubt]] = field(default_factory=list)

    def add(self, file: RepoPath, key: str) -> None:
        facts, oid = self._read(file)
        if facts is None:
            self.values[_subject(file, key)] = oid or ABSENT
            if oid is None:
                self.doubts.append((file, Doubt("the parameter file is not in the repository")))
            return
        if facts.doubts:  # its meaning is not certain, so all of its bytes count
            self.values[file] = f"bytes {oid}"
            self.doubts += [(file, doubt) for doubt in facts.doubts]
        wanted = tuple(key.split(".")) if key else ()
        leaves = [leaf for leaf in facts.leaves if leaf.path[: len(wanted)] == wanted]
        if not leaves:
            self.values[_subject(file, key)] = ABSENT
            if not facts.doubts:
                self.doubts.append((file, Doubt(f"it has no parameter {key}")))
        for leaf in leaves:
            self.values[_subject(file, ".".join(leaf.path))] = leaf.reading
            self._flag(leaf, wanted)
            self._references(file, facts, leaf, 0)
        self.targets += [name for path, name in facts.targets if path[: len(wanted)] == wanted]
        self._defaults(file, facts, wanted)

    def _read(self, file: RepoPath) -> tuple[ValuesFacts | None, str | None]:
        self.looked_up.add(file)
        entry = self.tree.get(file)
        if entry is None:
            return None, None
        fact = self.evidence.fact(_KINDS.get(posixpath.splitext(file)[1], Kind.YAML), entry.oid)
        return (fact if isinstance(fact, ValuesFacts) else None), entry.oid

    def _flag(self, leaf: Leaf, wanted: tuple[str, ...]) -> None:
        """``train.learning_rate`` → ``--learning_rate``; below a subtree, the rest of the path joined with ``_``. The
        elements of a list go to one flag."""
        rest = list(leaf.path[len(wanted) :]) or list(leaf.path[-1:])
        while len(rest) > 1 and rest[-1].isdigit():
            rest.pop()
        if rest[-1].isdigit() and wanted:
            rest = [wanted[-1]]
        self.flags.setdefault("_".join(rest), []).append(leaf.text)

    def _references(self, file: RepoPath, facts: ValuesFacts, leaf: Leaf, depth: int) -> None:
        """``${a.b}`` makes the value of ``a.b`` count too; a resolver's answer cannot be known."""
        for match in _REFERENCE.finditer(leaf.text):
            text = match.group(1).strip()
            if ":" in text:
                self.doubts.append((file, Doubt(f"${{{text}}} is resolved at run time")))
                continue
            target = _resolved(text, leaf.path)
            if depth >= _DEPTH:
                self.doubts.append((file, Doubt("interpolations refer to each other")))
                return
            found = [other for other in facts.leaves if other.path[: len(target)] == target]
            subject = _subject(file, ".".join(target))
            if not found:
                self.values.setdefault(subject, ABSENT)
            for other in found:
                self.values[_subject(file, ".".join(other.path))] = other.reading
                self._references(file, facts, other, depth + 1)

    def _defaults(self, file: RepoPath, facts: ValuesFacts, wanted: tuple[str, ...]) -> None:
        """Hydra composes these files into this one: what the selected keys become may come from any of them."""
        for path in _included(file, facts.defaults):
            if path in self.looked_up:
                continue
            inner, oid = self._read(path)
            if oid is None:
                self.values[f"{path}:"] = ABSENT
            elif inner is not None:
                for leaf in inner.leaves:
                    self.values[_subject(path, ".".join(leaf.path))] = leaf.reading
                self.targets += [name for _, name in inner.targets]
                self.doubts += [(path, doubt) for doubt in inner.doubts]
                if inner.doubts:
                    self.values[path] = f"bytes {oid}"
                self._defaults(path, inner, wanted)


def _resolved(text: str, at: tuple[str, ...]) -> tuple[str, ...]:
    """OmegaConf: ``a.b`` from the root, ``.x`` beside this key, ``..x`` one level further up."""
    dots = len(text) - len(text.lstrip("."))
    names = tuple(re.sub(r"\[(\w+)\]", r".\1", text[dots:]).split("."))
    return (*at[: max(0, len(at) - dots)], *names) if dots else names


def _included(file: RepoPath, defaults: Sequence[str]) -> Iterator[RepoPath]:
    folder = posixpath.dirname(file)
    for name in defaults:
        path = posixpath.normpath(posixpath.join(folder, name))
        if not path.startswith(("../", "/")):
            yield path if path.endswith((".yaml", ".yml")) else f"{path}.yaml"


def _subject(file: RepoPath, key: str) -> str:
    return key if file == DEFAULT_FILE else f"{file}:{key}"
