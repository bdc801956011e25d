"""Owns runs, which jobs and their children are: their records, statuses and metrics; refuses to move one by itself."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from tests.emulators.azureml.assets import now
from tests.emulators.azureml.messages import not_found
from tests.emulators.azureml.state import Document, State

ENDED = ("Completed", "Failed", "Canceled")


class Runs:
    """Records by id. A child's id is a GUID, a trial's its sweep's with a number. ``moved`` is told of each that has
    another status."""

    def __init__(self, state: State, moved: Callable[[Document], None] | None = None) -> None:
        self.state = state
        self._moved = moved

    def create(self, id: str, kind: str, *, parent: Document | None = None, **fields: Any) -> Document:
        with self.state.lock:
            run = {
                "id": id, "number": self.state.count("runs") + 1, "kind": kind, "status": "NotStarted",
                "created": now(), "started": None, "ended": None, "error": None, "tags": {}, "properties": {},
                "inputs": {}, "outputs": {}, "compute": "", "hidden": False, "name": id, "displayName": id,
                "parent": parent["id"] if parent else None, "root": parent["root"] if parent else id,
                "experiment": parent["experiment"] if parent else "Default", **fields,
            }  # fmt: skip
            self.state.put("runs", id, run)
            return run

    def child(self, kind: str, parent: Document, node: str, **fields: Any) -> Document:
        """The run of a node: the one that it has already, if the emulator died in between."""
        with self.state.lock:
            for known in self.children(parent["id"]):
                if known["name"] == node:
                    return known
            return self.create(str(uuid.uuid4()), kind, parent=parent, name=node, **fields)

    def known(self, id: str) -> Document:
        found = self.state.get("runs", id)
        if found is None:
            raise not_found(f"Run {id}")
        return found

    def find(self, id: str) -> Document | None:
        return self.state.get("runs", id)

    def all(self) -> list[Document]:
        return list(self.state.all("runs").values())

    def children(self, id: str) -> list[Document]:
        return self.state.where("runs", lambda run: run["parent"] == id)

    def change(self, id: str, **fields: Any) -> Document:
        return self.state.change("runs", id, **fields)

    def move(self, id: str, status: str, **fields: Any) -> Document:
        """To a later status; one that has ended stays as it is, and one that is being cancelled can only end."""
        with self.state.lock:
            run = self.known(id)
            if run["status"] in ENDED or (run["status"] == "CancelRequested" and status not in ENDED):
                return run
            if status == "Running" and run["started"] is None:
                fields["started"] = now()
            if status in ENDED:
                fields["ended"] = now()
            moved = self.change(id, status=status, **fields)
            if self._moved is not None and status != run["status"]:
                self._moved(moved)
            return moved

    def fail(self, id: str, code: str, message: str) -> None:
        """Unless it has ended already."""
        with self.state.lock:
            if self.known(id)["status"] not in ENDED:
                self.change(id, error=error_of(code, message))
                self.move(id, "Failed")

    def is_cancelled(self, id: str) -> bool:
        """Whether somebody asked for the end of this run or one that it is a part of."""
        while True:
            status, parent = self.state.fields("runs", id, "status", "parent")
            if status in ("CancelRequested", "Canceled"):
                return True
            if parent is None:
                return False
            id = parent

    # metrics ----------------------------------------------------------------------------------------------------------

    def log(self, id: str, name: str, value: float, step: int, timestamp: int | None = None) -> None:
        at = int(time.time() * 1000) if timestamp is None else timestamp
        with self.state.lock:
            known = self.state.get("metrics", id) or {}
            known.setdefault(name, []).append({"value": value, "step": step, "timestamp": at})
            self.state.put("metrics", id, known)

    def metrics(self, id: str) -> Mapping[str, list[dict[str, Any]]]:
        return self.state.get("metrics", id) or {}

    def note(self, id: str, kind: str, name: str, value: str) -> None:
        """A parameter of MLflow's (``params``), kept beside the run."""
        with self.state.lock:
            self.state.put(kind, id, (self.state.get(kind, id) or {}) | {name: value})


def error_of(code: str, message: str) -> Document:
    """As run history tells it."""
    return {"error": {"code": code, "message": message, "details": [], "innerError": None}, "correlation": {},
            "componentName": "CommonRuntime"}  # fmt: skip


def experiment_id(name: str) -> str:
    """Experiments have names, and ids beside them."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))
