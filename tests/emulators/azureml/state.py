"""Owns what the emulator knows, on disk, so that it may be killed at any moment; refuses to know what a document means."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Document = dict[str, Any]


class State:
    """Documents by kind and key, in the order in which they first came. Every change is on disk before it is seen.

    ``lock`` may be held around several calls that belong together; each call takes it by itself.
    """

    def __init__(self, folder: Path) -> None:
        self.lock = threading.RLock()
        folder.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(folder / "state.db", check_same_thread=False, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=OFF")  # it outlives the process, which is what tests kill
        self._database.execute("CREATE TABLE IF NOT EXISTS documents (kind, key, body, PRIMARY KEY (kind, key))")
        self._documents: dict[str, dict[str, Document]] = {}
        rows = self._database.execute("SELECT kind, key, body FROM documents ORDER BY rowid")
        for kind, key, body in rows:
            self._documents.setdefault(kind, {})[key] = json.loads(body)

    def get(self, kind: str, key: str) -> Document | None:
        with self.lock:
            found = self._documents.get(kind, {}).get(key)
            return None if found is None else json.loads(json.dumps(found))

    def all(self, kind: str) -> dict[str, Document]:
        with self.lock:
            return dict(json.loads(json.dumps(self._documents.get(kind, {}))))

    def where(self, kind: str, holds: Callable[[Document], bool]) -> list[Document]:
        """Those of a kind for which something holds; only they are copied."""
        with self.lock:
            return [json.loads(json.dumps(one)) for one in self._documents.get(kind, {}).values() if holds(one)]

    def count(self, kind: str) -> int:
        with self.lock:
            return len(self._documents.get(kind, {}))

    def fields(self, kind: str, key: str, *names: str) -> list[Any]:
        """Some plain values of a document that exists."""
        with self.lock:
            return [self._documents[kind][key][name] for name in names]

    def put(self, kind: str, key: str, body: Document) -> None:
        with self.lock:
            text = json.dumps(body)
            self._database.execute(
                "INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
                (kind, key, text),
            )
            self._documents.setdefault(kind, {})[key] = json.loads(text)

    def change(self, kind: str, key: str, **fields: Any) -> Document:
        """Some fields of a document that exists; the whole of it then."""
        with self.lock:
            found = self.get(kind, key)
            assert found is not None, f"there is no {kind} {key}"
            self.put(kind, key, found | fields)
            return found | fields
