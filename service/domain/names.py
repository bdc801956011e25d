"""Owns the value types that every other file speaks in; refuses behaviour beyond showing and checking them."""

from __future__ import annotations

import re
from dataclasses import dataclass

RepoPath = str
"""A path inside a repository, decoded with ``surrogateescape``: git paths are bytes, and this keeps every one of them."""

ZERO_SHA = "0" * 40
_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

REGULAR, EXECUTABLE, SYMLINK, SUBMODULE = "100644", "100755", "120000", "160000"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree: its git mode (six octal digits) and the OID of its blob (of the commit, for a submodule)."""

    mode: str
    oid: str

    @property
    def is_link(self) -> bool:
        """Whether it leads elsewhere: a symbolic link, or a submodule."""
        return self.mode in (SYMLINK, SUBMODULE)


def is_sha(text: str) -> bool:
    """Whether ``text`` is a full SHA-1 or SHA-256 object name: the only form of revision handed to git."""
    return _HEX.fullmatch(text) is not None


def is_zero(sha: str) -> bool:
    """Whether ``sha`` is GitHub's "no such commit" (a created or a deleted ref)."""
    return bool(sha) and not sha.strip("0")


def shown(text: str) -> str:
    """``text`` made safe to print and to store: control, bidirectional and undecodable characters become escapes."""
    return _UNPRINTABLE.sub(lambda match: f"\\x{ord(match.group()) & 0xFFFF:02x}", text)


def short(sha: str) -> str:
    """The first ten digits of a hash, for people."""
    return sha[:10]
