"""Owns which parameter values a component reads and the flags that pass them on; refuses to read the files itself."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.facts import Doubt, Evidence, Kind, Leaf, ValuesFacts
from service.domain.links import follow
from service.domain.names import RepoPath
from service.domain.tree import Tree

DEFAULT_FILE = "params.yaml"
_REFERENCE = re.compile(r"\$\{([^${}]*)\}")
_DEPTH = 20
_KINDS = {".json": Kind.JSON, ".toml": Kind.TOML}
_OUTSIDE = ("oc.env:", "env:", "now:", "hydra:")
"""Resolvers that read nothing of the file."""
ABSENT = "absent"
"""The value of a parameter that its file does not have: neither null nor anything a file can say."""


@dataclass(frozen=True, slots=True)
class Selected:
    """``values``: subject (``train.learning_rate``, or ``conf/x.yaml:lr``) → canonical reading. ``flags``: flag name →
    the texts to pass, as the file has them. ``targets``: dotted names under Hydra's ``_target_``. ``clash``: two
    parameters have one name, and the first one named gets the flag."""

    values: tuple[tuple[str, str], ...]
    flags: tuple[tuple[str, tuple[str, ...]], ...]
    looked_up: frozenset[RepoPath]
    targets: tuple[str, ...]
    doubts: tuple[tuple[RepoPath, Doubt], ...]
    clash: bool = False


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
        reading.clash,
    )


def files_of(params: Sequence[str]) -> frozenset[RepoPath]:
    """The files that the ``params:`` entries name."""
    split = (entry.rpartition(":") for entry in params)
    return frozenset(posixpath.normpath(file) if separator else DEFAULT_FILE for file, separator, _ in split)


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
    _flagged: set[tuple[RepoPath, tuple[str, ...]]] = field(default_factory=set)
    _owners: dict[str, tuple[RepoPath, tuple[str, ...]]] = field(default_factory=dict)
    clash: bool = False
    _search_path: list[str] = field(default_factory=list)
    composed: set[tuple[RepoPath, tuple[str, ...]]] = field(default_factory=set)

    def add(self, file: RepoPath, key: str) -> None:
        facts, oid = self._read(file)
        if facts is None:
            self.values[_subject(file, key)] = oid or ABSENT
            if oid is None:
                self.doubts.append((file, Doubt("the parameter file is not in the repository")))
            return
        wanted = tuple(key.split(".")) if key else ()
        self._judge(file, facts, oid)
        chosen = []
        for leaf in facts.leaves:
            length = _reach(leaf.path, wanted, key)
            if length is not None:
                chosen.append(leaf)
                self._flag(file, _text(facts, leaf), leaf.path, leaf.path[:length])
        # `train: ${base}` decides about `train.lr` too
        around = [leaf for leaf in facts.leaves if leaf not in chosen and leaf.path == wanted[: len(leaf.path)]]
        for leaf in (*chosen, *around):
            self.values[_subject(file, _key(leaf.path))] = _value(leaf)
            self._references(file, facts, leaf, {leaf.path})
        for path, name in facts.targets:
            if path[: len(wanted)] == wanted:
                self._target(file, facts, path, name)
        elsewhere = self._defaults(file, facts, wanted, posixpath.dirname(file), own=bool(chosen))
        if not chosen:
            self.values.setdefault(_subject(file, key), "{}" if not wanted else ABSENT)
            if wanted and not (elsewhere or around or facts.doubts):
                self.doubts.append((file, Doubt(f"it has no parameter {key}")))

    def _judge(self, file: RepoPath, facts: ValuesFacts, oid: str | None) -> None:
        if facts.doubts:  # its meaning is not certain, so all of its bytes count
            self.values[file] = f"bytes {oid}"
            self.doubts += [(file, doubt) for doubt in facts.doubts]

    def _read(self, file: RepoPath) -> tuple[ValuesFacts | None, str | None]:
        """The file's facts and OID; ``None`` for what is not there or, before the facts are loaded, not known."""
        self.looked_up.add(file)
        place = follow(file, self.tree, self.evidence)
        self.looked_up.update(link for link, _ in place.passed)
        if place.doubt is not None:
            self.doubts.append(place.doubt)
        if place.path is None:  # a submodule's commit stands for what is in it
            return None, place.passed[-1][1].oid if place.passed else None
        self.looked_up.add(place.path)
        entry = self.tree.get(place.path)
        if entry is None:
            return None, None
        fact = self.evidence.fact(_KINDS.get(posixpath.splitext(place.path)[1], Kind.YAML), entry.oid)
        return (fact if isinstance(fact, ValuesFacts) else None), entry.oid

    def _flag(self, file: RepoPath, text: str, path: tuple[str, ...], wanted: tuple[str, ...]) -> None:
        """``train.learning_rate`` → ``--learning_rate``; below a subtree, the rest of the path joined with ``_``. The
        elements of a list go to one flag."""
        if (file, path) in self._flagged:
            return  # `train` and `train.lr` both select it
        self._flagged.add((file, path))
        owner = path
        while owner and owner[-1].isdigit():
            owner = owner[:-1]
        name = "_".join(owner[len(wanted) :] or owner[-1:])
        if name and self._owners.setdefault(name, (file, owner)) != (file, owner):
            plain, name, self.clash = name, "_".join(owner), True
            self.doubts.append((file, Doubt(f"two parameters are called {plain}: one is passed as --{name}")))
        if name:
            self.flags.setdefault(name, []).append(text)

    def _references(self, file: RepoPath, facts: ValuesFacts, leaf: Leaf, seen: set[tuple[str, ...]]) -> None:
        """``${a.b}`` makes the value of ``a.b`` count too; a resolver's answer cannot be known."""
        for match in _REFERENCE.finditer(leaf.text):
            text = match.group(1).strip()
            if ":" in text:
                self.doubts.append((file, Doubt(f"${{{text}}} is resolved at run time")))
                if not text.startswith(_OUTSIDE):  # ${oc.select:a.b} reads other keys
                    self._all_of(file)
                continue
            target = _resolved(text, leaf.path)
            found = [other for other in facts.leaves if _touches(other.path, target)]
            if not found:
                self.values.setdefault(_subject(file, _key(target)), ABSENT)
            for other in found:
                self.values[_subject(file, _key(other.path))] = _value(other)
                if other.path not in seen:
                    seen.add(other.path)
                    self._references(file, facts, other, seen)
        if "${" in _REFERENCE.sub("", leaf.text):
            self.doubts.append((file, Doubt(f"{leaf.text} names a parameter that is computed")))
            self._all_of(file)

    def _named(self, file: RepoPath, facts: ValuesFacts) -> list[str]:
        """The defaults' names; ``${db}`` in one is the option that another one chooses for the group ``db``."""
        chosen = {group: option for group, _, option in (name.strip("/").rpartition("/") for name in facts.defaults)}
        named = []
        for name in facts.defaults:
            plain = _REFERENCE.sub(lambda found: chosen.get(found.group(1).strip(), found.group()), name)
            if "${" in plain:
                self.doubts.append((file, Doubt(f"the default {name} is computed", widen="all")))
            else:
                named.append(plain)
        return named

    def _included(self, file: RepoPath, facts: ValuesFacts, name: str, top: RepoPath) -> RepoPath | None:
        """The file that one of Hydra's defaults names: beside this file, or from the top-level file's folder if absolute,
        or else in a folder of Hydra's search path, if there is such a file."""
        first = _beside(top if name.startswith("/") else posixpath.dirname(file), name)
        self._search_path += [leaf.text for leaf in facts.leaves if leaf.path[:2] == ("hydra", "searchpath")]
        if first is None or self._read(first)[1] is not None:
            return first
        for place in dict.fromkeys(self._search_path):
            scheme, _, folder = place.partition("://")
            folders = [folder] if scheme == "file" else [folder.replace(".", "/"), f"src/{folder.replace('.', '/')}"]
            for path in (_beside(one, name) for one in folders if not one.startswith("/")):
                if path is not None and self._read(path)[1] is not None:
                    return path
        return first

    def _target(self, file: RepoPath, facts: ValuesFacts, path: tuple[str, ...], name: str) -> None:
        """What Hydra would import for a ``_target_``, which may be written as a reference, or name what a function of
        Hydra's imports in its turn."""
        found = _text(facts, Leaf((*path, "_target_"), name, ""))
        if "${" in found:
            self.doubts.append((file, Doubt(f"the target {name} is computed", widen="python")))
            return
        self.targets.append(found)
        if found.startswith("hydra.utils.get_"):
            self.targets += [_text(facts, leaf) for leaf in facts.leaves if leaf.path == (*path, "path")]

    def _all_of(self, file: RepoPath) -> None:
        _, oid = self._read(file)
        self.values[file] = f"bytes {oid}"

    def _defaults(
        self, file: RepoPath, facts: ValuesFacts, wanted: tuple[str, ...], top: RepoPath, *, own: bool
    ) -> bool:
        """Hydra composes these files into this one, and may put them at another key than their folder says: all of their
        leaves count. Whether one of them has the wanted key; it becomes a flag unless the file has values of its ``own``."""
        hit = False
        for name in self._named(file, facts):
            path = self._included(file, facts, name, top)
            if path is None or (path, wanted) in self.composed:
                continue
            self.composed.add((path, wanted))
            inner, oid = self._read(path)
            if inner is None:
                self.values[f"{path}:"] = oid or ABSENT
                continue
            self._judge(path, inner, oid)
            group = tuple(name.strip("/").split("/")[:-1])
            for leaf in inner.leaves:
                self.values[_subject(path, _key(leaf.path))] = _value(leaf)
                self._references(path, inner, leaf, {leaf.path})
                at = next((at for at in (group + leaf.path, leaf.path) if wanted and at[: len(wanted)] == wanted), None)
                hit |= at is not None
                if at is not None and not own:
                    self._flag(path, _text(inner, leaf), at, wanted)
            for at, target in inner.targets:
                self._target(path, inner, at, target)
            hit |= self._defaults(path, inner, wanted, top, own=own)
        return hit


def _beside(folder: RepoPath, name: str) -> RepoPath | None:
    """The file of a folder that a default names; ``None`` outside the repository."""
    path = posixpath.normpath(posixpath.join(folder, name.lstrip("/")))
    if path.startswith("../"):
        return None
    return path if path.endswith((".yaml", ".yml")) else f"{path}.yaml"


def _reach(path: tuple[str, ...], wanted: tuple[str, ...], key: str) -> int | None:
    """How many segments of a leaf's path the wanted key takes up, if the leaf is at the key or below it. A key may have
    dots of its own: ``train.lr`` may be the one key of a flat file."""
    if path[: len(wanted)] == wanted:
        return len(wanted)
    if not any("." in segment for segment in path):
        return None
    return next((length for length in range(1, len(path) + 1) if ".".join(path[:length]) == key), None)


def _key(path: tuple[str, ...]) -> str:
    return ".".join(json.dumps(segment) if "." in segment else segment for segment in path)


def _touches(path: tuple[str, ...], target: tuple[str, ...]) -> bool:
    """One lies below the other, or they are the same."""
    shared = min(len(path), len(target))
    return path[:shared] == target[:shared]


def _value(leaf: Leaf) -> str:
    """Its reading, and its text where the reading does not tell it: a step is given ``1.10`` as written."""
    told = leaf.reading == leaf.text or leaf.reading.startswith(json.dumps(leaf.text))
    return leaf.reading if told else f"{leaf.reading} as {json.dumps(leaf.text)}"


def _text(facts: ValuesFacts, leaf: Leaf) -> str:
    """A leaf's text, or that of the leaf which it is nothing but a reference to."""
    text = leaf.text
    for _ in range(_DEPTH):
        whole = _REFERENCE.fullmatch(text)
        target = _resolved(whole.group(1).strip(), leaf.path) if whole else ()
        found = next((other for other in facts.leaves if other.path == target), None) if whole else None
        if found is None:
            return text
        text, leaf = found.text, found
    return text


def _resolved(text: str, at: tuple[str, ...]) -> tuple[str, ...]:
    """OmegaConf: ``a.b`` from the root, ``.x`` beside this key, ``..x`` one level further up."""
    dots = len(text) - len(text.lstrip("."))
    names = tuple(re.sub(r"\[(\w+)\]", r".\1", text[dots:]).split("."))
    return (*at[: max(0, len(at) - dots)], *names) if dots else names


def _subject(file: RepoPath, key: str) -> str:
    return key if file == DEFAULT_FILE else f"{file}:{key}"
