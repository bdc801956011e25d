"""Owns requirements files, symbolic links and DVC pointers → facts; refuses to follow what they name."""

from __future__ import annotations

import hashlib
import re

import yaml

from service.adapters.reading.values import Unreadable, compose, yaml_11
from service.domain.facts import Doubt, TextFacts

_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"^(?:-r|-c|--requirement|--constraint)[ =]?\s*(\S+)")
_LOCAL = re.compile(r"^(?:-e|--editable)[ =]?\s*(\S+)|^(\.{1,2}(?:/\S*)?)(?:\[|\s|$)")


def read_requirements(content: bytes) -> TextFacts:
    """Hash of the lines that pip reads, without comments; the files that they include."""
    text = content.decode("utf-8", "surrogateescape").replace("\\\n", " ")
    lines = [" ".join(_COMMENT.sub("", line).split()) for line in text.splitlines()]
    lines = [line for line in lines if line]
    includes = [found.group(1) for line in lines if (found := _INCLUDE.match(line))]
    local = [found.group(1) or found.group(2) for line in lines if (found := _LOCAL.match(line))]
    doubts = [Doubt(f"installs {path} from the repository", 0, "python") for path in local if "://" not in path]
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    return TextFacts(digest, tuple(i for i in includes if "://" not in i), tuple(doubts))


def read_link(content: bytes) -> TextFacts:
    """A symbolic link's target."""
    return TextFacts(content.decode("utf-8", "surrogateescape"))


def read_dvc(content: bytes) -> TextFacts:
    """What a DVC pointer says of its outputs: their digests."""
    try:
        root = compose(content)
    except (Unreadable, yaml.YAMLError, ValueError, RecursionError):
        root = None
    digests: list[str] = []
    if isinstance(root, yaml.MappingNode):
        for key, value in root.value:
            if key.value == "outs" and isinstance(value, yaml.SequenceNode):
                for out in value.value:
                    digests += _digests(out)
    if not digests:
        return TextFacts(
            f"bytes {hashlib.sha256(content).hexdigest()}", (), (Doubt("names no digest: all of its bytes count"),)
        )
    return TextFacts(" ".join(digests))


def _digests(out: yaml.Node) -> list[str]:
    if not isinstance(out, yaml.MappingNode):
        return []
    wanted = ("md5", "etag", "checksum", "version_id", "path")
    return [f"{key.value}={yaml_11(value)}" for key, value in out.value if key.value in wanted]
