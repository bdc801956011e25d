"""Owns git's ``-z`` output → entries and file changes; refuses to run git: bytes in, values out."""

from __future__ import annotations

from collections.abc import Iterator

from service.domain.change import FileChange
from service.domain.names import Entry, RepoPath


def parse_raw(output: bytes) -> tuple[FileChange, ...]:
    """The records of ``diff-tree -r -z --raw --no-renames``; raises ``ValueError`` on anything else."""
    fields = output.split(b"\0")
    if fields.pop() != b"":
        raise ValueError("the output of git diff-tree is cut off")
    return tuple(_change(header, path) for header, path in _pairs(fields))


def parse_tree(output: bytes) -> dict[RepoPath, Entry]:
    """The records of ``ls-tree -r -z --full-tree``: path → entry."""
    files: dict[RepoPath, Entry] = {}
    for record in output.split(b"\0"):
        if record:
            header, _, path = record.partition(b"\t")
            mode, _, oid = header.split(b" ")
            files[decode(path)] = Entry(mode.decode(), oid.decode())
    return files


def decode(path: bytes) -> RepoPath:
    """Git's paths are bytes; nothing is lost here, not even what is not UTF-8."""
    return path.decode("utf-8", "surrogateescape")


def _pairs(fields: list[bytes]) -> Iterator[tuple[bytes, bytes]]:
    if len(fields) % 2:
        raise ValueError("a record of git diff-tree lacks its path")
    return zip(fields[::2], fields[1::2], strict=True)


def _change(header: bytes, path: bytes) -> FileChange:
    if not header.startswith(b":"):
        raise ValueError("a record of git diff-tree does not start with a colon")
    old_mode, new_mode, old_oid, new_oid, _status = header[1:].decode("ascii").split(" ")
    return FileChange(decode(path), _entry(old_mode, old_oid), _entry(new_mode, new_oid))


def _entry(mode: str, oid: str) -> Entry | None:
    return None if mode == "000000" else Entry(mode, oid)
