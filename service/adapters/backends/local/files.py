"""Owns the files of one run and how they are read and written whole; refuses to interpret them."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class RunFolder:
    """Everything of one attempt: what it shall do, what it does, what came of it."""

    path: Path

    @property
    def spec(self) -> Path:
        return self.path / "spec.json"

    @property
    def started(self) -> Path:
        return self.path / "started.json"

    @property
    def session(self) -> Path:
        """Which process leads the session of what runs: its id and when it started."""
        return self.path / "session.json"

    @property
    def outcome(self) -> Path:
        return self.path / "outcome.json"

    @property
    def cancel(self) -> Path:
        return self.path / "cancel"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def work(self) -> Path:
        return self.path / "work"

    def try_lock(self) -> int | None:
        """The run's lock, held for as long as the descriptor is open and the process lives; ``None``: somebody has it."""
        descriptor = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def is_locked(self) -> bool:
        descriptor = self.try_lock()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False


def write_json(path: Path, value: Any) -> None:
    """All of it or nothing, also when the machine stops."""
    making = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with making.open("w", encoding="ascii") as file:
            json.dump(value, file, ensure_ascii=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(making, path)
    finally:
        making.unlink(missing_ok=True)  # on a full disk, half a file must not stay


def read_json(path: Path) -> Any | None:
    """The value, or ``None`` if the file is not there."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
