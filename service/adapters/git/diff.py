"""Owns git's ``-z`` output → entries and file changes; refuses to run git: bytes in, values out."""

from __future__ import annotations

import re

from service.domain.change import FileChange
from service.domain.names import Entry, RepoPath

_OID = rb"[0-9a-f]{40}(?:[0-9a-f]{24})?"
_RAW = re.compile(rb":([0-7]{6}) ([0-7]{6}) (%s) (%s) [ADMT]" % (_OID, _OID))
_LISTED = re.compile(rb"([0-7]{6}) (?:blob|commit) (%s)\t(.+)" % _OID, re.DOTALL)
_ABSENT = b"000000"


def parse_raw(output: bytes) -> tuple[FileChange, ...]:
    """The records of ``diff-tree -r -z --raw --no-renames``; raises ``ValueError`` on anything else."""
    fields = output.split(b"\0")
    if fields.pop() != b"" or len(fields) % 2:
        raise ValueError("the output of git diff-tree is cut off")
    return tuple(_change(header, path) for header, path in zip(fields[::2], fields[1::2], strict=True))


def parse_tree(output: bytes) -> dict[RepoPath, Entry]:
    """The records of ``ls-tree -r -z --full-tree``: path → entry; raises ``ValueError`` on anything else."""
    records = output.split(b"\0")
    if records.pop() != b"":
        raise ValueError("the output of git ls-tree is cut off")
    return dict(_listed(record) for record in records)


def decode(path: bytes) -> RepoPath:
    """Git's paths are bytes; nothing is lost here, not even what is not UTF-8."""
    return path.decode("utf-8", "surrogateescape")


def _change(header: bytes, path: bytes) -> FileChange:
    found = _RAW.fullmatch(header)
    if found is None or not path:
        raise ValueError(f"not a record of git diff-tree: {header[:120]!r}")
    old_mode, new_mode, old_oid, new_oid = found.groups()
    old, new = _entry(old_mode, old_oid), _entry(new_mode, new_oid)
    if old is None and new is None:
        raise ValueError("a record of git diff-tree is of no file")
    return FileChange(decode(path), old, new)


def _listed(record: bytes) -> tuple[RepoPath, Entry]:
    found = _LISTED.fullmatch(record)
    entry = _entry(found[1], found[2]) if found else None
    if found is None or entry is None:
        raise ValueError(f"not a record of git ls-tree: {record[:120]!r}")
    return decode(found[3]), entry


def _entry(mode: bytes, oid: bytes) -> Entry | None:
    return None if mode == _ABSENT else Entry(mode.decode(), oid.decode())
