"""Owns the command line's way to a server's REST API, over HTTP or to the local history; refuses a second code path."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.bootstrap.local import local_history
from service.cli.output import log_to_stderr
from service.domain.errors import Refused
from service.settings import default_home

SERVER, TOKEN = "REFIT_SERVER", "REFIT_TOKEN"


class Client:
    """GET and POST under ``/api/v1``; problems become ``Refused`` with the server's own words."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, path: str, **query: str | int) -> Any:
        return self._answer("GET", path, params={k: v for k, v in query.items() if v not in ("", None)})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._answer("POST", path, json=body)

    def _answer(self, method: str, path: str, **parts: Any) -> Any:
        try:
            response = self._http.request(method, f"/api/v1{path}", **parts)
        except httpx.HTTPError as error:
            raise Refused(
                f"asking {self._http.base_url}: {error}; is `refit serve` running? {SERVER} names it"
            ) from error
        if response.is_error:
            try:
                problem = response.json()
            except json.JSONDecodeError:
                problem = {}
            detail = problem.get("detail") or problem.get("title") or f"status {response.status_code}"
            raise Refused(f"asking {method} {path}: {detail}")
        return response.json()


@contextmanager
def client(server: str | None, repo: Path) -> Iterator[Client]:
    """The server named by ``--server`` or ``REFIT_SERVER``, else the one running here, else the history that `refit run`
    keeps for this repository."""
    url = server or os.environ.get(SERVER) or _running_here()
    if url:
        token = os.environ.get(TOKEN)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with httpx.Client(base_url=url, headers=headers, timeout=30.0) as http:
            yield Client(http)
    else:
        log_to_stderr(quiet=True)  # what answers is in this process, and stdout is for the answer
        with local_history(repo) as http:
            yield Client(http)


def _running_here() -> str | None:
    home = Path(os.environ.get("REFIT_HOME") or default_home())
    try:
        found = json.loads((home / "serve.json").read_text(encoding="utf-8"))
        os.kill(int(found["pid"]), 0)
    except (OSError, ValueError, KeyError):
        return None
    return str(found["url"])
