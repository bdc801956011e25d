"""Owns symbolic links and DVC pointers → facts; refuses to follow what they name."""

from __future__ import annotations

import hashlib

import yaml

from service.adapters.reading.values import Unreadable, compose, yaml_11
from service.domain.facts import Doubt, TextFacts

_DIGESTS = ("md5", "etag", "checksum", "version_id")


def read_link(content: bytes) -> TextFacts:
    """A symbolic link's target."""
    return TextFacts(content.decode("utf-8", "surrogateescape"))


def read_dvc(content: bytes) -> TextFacts:
    """What a DVC pointer says of its outputs: their digests."""
    try:
        root = compose(content)
    except (Unreadable, yaml.YAMLError, ValueError, RecursionError):
        root = None
    outs = [out for key, value in _entries(root) if key == "outs" for out in _items(value)]
    said = [sorted(f"{k}={yaml_11(value)}" for k, value in _entries(out) if k in (*_DIGESTS, "path")) for out in outs]
    if not said or not all(any(part.startswith(_DIGESTS) for part in parts) for parts in said):
        value = f"bytes {hashlib.sha256(content).hexdigest()}"
        return TextFacts(value, (), (Doubt("names no digest: all of its bytes count"),))
    return TextFacts(" ".join(part for parts in said for part in parts))


def _entries(node: yaml.Node | None) -> list[tuple[str, yaml.Node]]:
    return [(str(key.value), value) for key, value in node.value] if isinstance(node, yaml.MappingNode) else []


def _items(node: yaml.Node) -> list[yaml.Node]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
