"""Owns parameter files → flat leaves, under every reading a program may have of them; refuses to choose one reading.

YAML 1.1 (PyYAML) and YAML 1.2 (ruamel, OmegaConf) disagree on ``1e-3``, ``010``, ``yes`` and ``12:30``: both count.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import yaml

from service.domain.facts import Doubt, Leaf, ValuesFacts

_MOST_NODES, _DEEPEST, _MOST_ALIASES = 50_000, 100, 2_000
_MOST_TOML_STEPS = 20_000_000
"""About a second of tomllib's."""
_TOML_KEY_ENDS = re.compile(rb"[=,\n]")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "tag:yaml.org,2002:merge"
_CONTAINERS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_Path = tuple[str, ...]


class Unreadable(Exception):
    """Only the bytes of this file can be trusted; the text says why."""


def read_yaml(content: bytes) -> ValuesFacts:
    """Leaves of one YAML document."""
    try:
        root = compose(content)
        flat = _Flattened()
        if root is not None:
            flat.add((), root)
    except (Unreadable, yaml.YAMLError, ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, Unreadable) else f"cannot be parsed ({type(error).__name__})"
        return ValuesFacts(doubts=(Doubt(f"{why}: all of its bytes count"),))
    doubts = tuple(Doubt(f"{why}: all of its bytes count") for why in dict.fromkeys(flat.oddities))
    return ValuesFacts(tuple(flat.leaves), tuple(flat.targets), _defaults(root), doubts)


def read_json(content: bytes) -> ValuesFacts:
    """Leaves of a JSON document."""
    return _plain(lambda: json.loads(content, object_pairs_hook=_no_repeats))


def read_toml(content: bytes) -> ValuesFacts:
    """Leaves of a TOML document."""
    return _plain(lambda: tomllib.loads(_shallow(content).decode("utf-8")))


def _shallow(content: bytes) -> bytes:
    """TOML that can be parsed in reasonable time: ``tomllib`` takes the square of a dotted key's parts."""
    if sum(one.count(b".") ** 2 for one in _TOML_KEY_ENDS.split(content)) > _MOST_TOML_STEPS:
        raise Unreadable("has keys of too many parts")
    return content


def compose(content: bytes, most_nodes: int = _MOST_NODES) -> yaml.Node | None:
    """The node graph of a single document, after a pass over its events that bounds depth, size and aliases."""
    depth = aliases = 0
    for nodes, event in enumerate(yaml.parse(content, Loader=_Loader)):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if nodes > most_nodes or depth > _DEEPEST or aliases > _MOST_ALIASES:
            raise Unreadable("is too deep, too large or has too many aliases")
    return yaml.compose(content, Loader=_Loader)


def pairs(node: yaml.MappingNode, budget: list[int], odd: list[str]) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """A mapping's entries with ``<<`` merged in: its own first, then earlier merges before later ones."""
    own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
    merged: list[yaml.MappingNode] = []
    for key, value in node.value:
        budget[0] -= 1
        if budget[0] < 0:
            raise Unreadable("expands to too much")
        if not isinstance(key, yaml.ScalarNode):
            raise Unreadable("has a key that is not a scalar")
        if key.tag == _MERGE:
            if merged:  # loaders differ on which of the two wins
                odd.append("repeats the key '<<'")
            found = value.value if isinstance(value, yaml.SequenceNode) else [value]
            if not all(isinstance(one, yaml.MappingNode) for one in found):
                raise Unreadable("merges what is not a mapping")
            merged += found
            continue
        name = str(key.value)
        if name in own:
            odd.append(f"repeats the key {name!r}")
        own[name] = (key, value)
    for other in merged:
        for key, value in pairs(other, budget, odd):
            own.setdefault(str(key.value), (key, value))
    yield from own.values()


class _Flattened:
    """Leaves in document order, with a budget that merge bombs exhaust. A key that is no plain text is told with the
    values below it: their path alone does not tell ``{0: x}`` from ``{"0": x}`` and ``[x]``."""

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self.targets: list[tuple[_Path, str]] = []
        self.oddities: list[str] = []
        self._budget = [_MOST_NODES]

    def add(self, path: _Path, node: yaml.Node, keys: str = "") -> None:
        self._budget[0] -= 1
        if isinstance(node, yaml.CollectionNode) and node.tag not in _CONTAINERS:
            self.oddities.append(f"uses the tag {node.tag}")
        if self._budget[0] < 0 or len(path) > _DEEPEST:
            raise Unreadable("expands to too much")
        if isinstance(node, yaml.MappingNode):
            entries = list(pairs(node, self._budget, self.oddities))
            for key, value in entries:
                if key.value == "_target_" and isinstance(value, yaml.ScalarNode):
                    self.targets.append((path, value.value))
                self.add((*path, key.value), value, keys + _key_note(key.value, reading(key)))
            if not entries:
                self.leaves.append(Leaf(path, "{}", "{}" + keys))
        elif isinstance(node, yaml.SequenceNode):
            for at, value in enumerate(node.value):
                self.add((*path, str(at)), value, keys)
            if not node.value:
                self.leaves.append(Leaf(path, "[]", "[]" + keys))
        else:
            self.leaves.append(Leaf(path, node.value, reading(node) + keys))


def _key_note(text: str, read: str) -> str:
    plain = read == _canonical(text) and not text.isdecimal()
    return "" if plain else f" under the key {read}"


def reading(node: yaml.Node) -> str:
    """A scalar under both readings; one text if they agree."""
    old = _canonical(yaml_11(node))
    plain = isinstance(node, yaml.ScalarNode) and not node.style  # None in Python's loader, "" in libyaml's
    new = _canonical(_yaml_12(node.value)) if plain else old
    return old if old == new else f"{old} | {new}"


def yaml_11(node: yaml.Node) -> object:
    """What PyYAML makes of a scalar. Its constructors fail in many ways on ``!!int ""`` and ``!!bool x``."""
    try:
        return yaml.constructor.SafeConstructor().construct_object(node)
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, AttributeError, TypeError):
        return f"{node.tag} {node.value}"


_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL, _HEX = re.compile(r"0o[0-7]+"), re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((sign + dot for sign in ("", "+") for dot in (".inf", ".Inf", ".INF")), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def _yaml_12(text: str) -> object:
    """The core schema of YAML 1.2."""
    if text in _WORDS:
        return _WORDS[text]
    for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            return int(text.removeprefix("0o"), base) if len(text) < 1_000 else text
    return float(text) if _FLOAT.fullmatch(text) else text


def _canonical(value: object) -> str:
    """JSON, so that the number 1, the string "1" and true stay apart."""
    if isinstance(value, str | int | float | bool) or value is None:
        return json.dumps(value, ensure_ascii=True)
    return f"{type(value).__name__} {value}"


def _defaults(root: yaml.Node | None) -> tuple[str, ...]:
    """Hydra's defaults list: ``db`` or ``db: mysql`` → ``db`` or ``db/mysql``."""
    if not isinstance(root, yaml.MappingNode):
        return ()
    found: list[str] = []
    for key, value in root.value:
        if key.value != "defaults" or not isinstance(value, yaml.SequenceNode):
            continue
        for item in value.value:
            if isinstance(item, yaml.ScalarNode) and item.value != "_self_":
                found.append(item.value.partition("@")[0])
            elif isinstance(item, yaml.MappingNode):
                for group, option in item.value:
                    name = str(group.value).split()[-1:]  # without `optional` and `override`
                    options = option.value if isinstance(option, yaml.SequenceNode) else [option]
                    found += [
                        f"{name[0].partition('@')[0]}/{one.value}"
                        for one in options
                        if name and isinstance(one, yaml.ScalarNode) and one.value not in ("null", "~", "")
                    ]
    return tuple(found)


def _plain(load: Any) -> ValuesFacts:
    try:
        leaves: list[Leaf] = []
        _walk((), load(), leaves)
    except (ValueError, RecursionError, Unreadable) as error:
        return ValuesFacts(doubts=(Doubt(f"cannot be parsed ({type(error).__name__}): all of its bytes count"),))
    targets = tuple((leaf.path[:-1], leaf.text) for leaf in leaves if leaf.path[-1:] == ("_target_",))
    return ValuesFacts(tuple(leaves), targets)


def _walk(path: _Path, value: object, leaves: list[Leaf], keys: str = "") -> None:
    if len(path) > _DEEPEST or len(leaves) > _MOST_NODES:
        raise Unreadable("is too deep or too large")
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            _walk((*path, str(key)), inner, leaves, keys + _key_note(str(key), _canonical(str(key))))
    elif isinstance(value, list) and value:
        for at, inner in enumerate(value):
            _walk((*path, str(at)), inner, leaves, keys)
    else:
        read = json.dumps(value) if isinstance(value, dict | list) else _canonical(value)
        leaves.append(Leaf(path, value if isinstance(value, str) else read, read + keys))


def _no_repeats(found: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in found]
    if len(names) != len(set(names)):
        raise ValueError("a repeated key")
    return dict(found)
