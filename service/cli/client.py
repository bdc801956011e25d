"""Owns the command line's way to a server's REST API, over HTTP or to the local history; refuses a second code path."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from service.bootstrap.local import local_history
from service.cli.logs import log_to_stderr
from service.domain.errors import Refused
from service.settings import default_home

SERVER, TOKEN = "REFIT_SERVER", "REFIT_TOKEN"
_TRIES = 5


class Client:
    """GET and POST under ``/api/v1``; problems become ``Refused`` with the server's own words."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def get(self, path: str, **query: str | int) -> Any:
        return self._answer("GET", path, params={k: v for k, v in query.items() if v not in ("", None)})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._answer("POST", path, json=body)

    def events(self, path: str, **query: str) -> Iterator[tuple[str, Any]]:
        """(name, data) of each server-sent event until the server ends the stream; broken off, it is taken up again where
        it was, as a browser would."""
        last, failures = "", 0
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
            try:
                with self._http.stream("GET", f"/api/v1{path}", params=query, headers=headers, timeout=60.0) as answer:
                    if answer.is_error:
                        answer.read()
                        self._refuse(answer, "GET", path)
                    for event, data, id in _events(answer.iter_lines(), last):
                        last, failures = id, 0
                        yield event, data
                        if event == "end":
                            return
            except httpx.HTTPError as error:
                failures += 1
                if failures > _TRIES:
                    raise self._away(error) from error
            time.sleep(1.0)

    def _answer(self, method: str, path: str, **parts: Any) -> Any:
        try:
            response = self._http.request(method, f"/api/v1{path}", **parts)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        self._refuse(response, method, path)
        return response.json()

    def _away(self, error: httpx.HTTPError) -> Refused:
        return Refused(f"asking {self._http.base_url}: {error}; is `refit serve` running? {SERVER} names it")

    @staticmethod
    def _refuse(response: httpx.Response, method: str, path: str) -> None:
        """``Refused`` with the server's own words, if it has refused."""
        if response.is_error:
            try:
                problem = response.json()
            except json.JSONDecodeError:
                problem = {}
            detail = problem.get("detail") or problem.get("title") or f"status {response.status_code}"
            raise Refused(f"asking {method} {path}: {detail}")


def _events(lines: Iterable[str], last: str) -> Iterator[tuple[str, Any, str]]:
    """(name, data, id of the last event) from the lines of a stream."""
    name = data = ""
    for line in lines:
        field, _, value = line.partition(":")
        match field, value.removeprefix(" "):
            case "event", name:
                pass
            case "data", data:
                pass
            case "id", last:
                pass
            case "", "" if data:
                yield name, json.loads(data), last
                name = data = ""


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
