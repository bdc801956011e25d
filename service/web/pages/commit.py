"""Owns the page of a commit: what changed, why each step ran or was reused, with the evidence; refuses to judge it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.domain.change import FileChange
from service.domain.errors import Refused, Retry
from service.domain.names import shown
from service.web.api.commits import get_commit
from service.web.api.parameters import Sha
from service.web.auth import Reads, services_of
from service.web.pages.rendering import LIVE, page
from service.web.services import Services

router = APIRouter()
_FILES = 200


@router.get("/commits/{sha}", response_class=HTMLResponse)
def commit(request: Request, caller: Reads, sha: Sha) -> HTMLResponse:
    """What became of a commit, execution by execution."""
    one = get_commit(request, caller, sha)
    for execution in one["executions"]:
        for step in execution["steps"]:
            step["evidence"] = evidence(step)
    newest = one["executions"][0] if one["executions"] else None
    return page(
        request,
        "commit.html",
        one=one,
        newest=newest,
        files=_files(services_of(request), newest) if newest else None,
        live=any(execution["status"] in LIVE for execution in one["executions"]),
    )


def evidence(step: dict[str, Any]) -> list[dict[str, Any]]:
    """Every part of the step's key, then and now, what differs first."""
    differing = [one for one in step["reasons"] if one["old"] is not None or one["new"] is not None]
    rows = [{"kind": one["kind"], "subject": one["subject"], "old": one["old"], "new": one["new"], "word": _word(one)}
            for one in differing]  # fmt: skip
    mentioned = {(one["kind"], one["subject"]) for one in differing}
    compared = bool(differing) or step["decision"] == "reuse"
    for part in step["parts"]:
        if (part["kind"], part["subject"]) not in mentioned:
            old = part["value"] if compared else None
            rows.append({**part, "old": old, "new": part["value"], "word": "same" if compared else ""})
    return rows


def _word(reason: dict[str, Any]) -> str:
    return "new" if reason["old"] is None else "gone" if reason["new"] is None else "changed"


def _files(services: Services, execution: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The files between base and commit, and whose key each is a part of; ``None`` if git cannot say any more."""
    if execution["base"] is None:
        return None
    try:
        repository = services.scheduler.hosts.repository(execution["repository"])
        change = repository.compare(execution["base"], execution["commit"])
    except (Refused, Retry):
        return None
    return [_file(one, execution["steps"]) for one in change.files[:_FILES]]


def _file(change: FileChange, steps: list[dict[str, Any]]) -> dict[str, Any]:
    path = shown(change.path)
    owners = [
        step["component"]
        for step in steps
        if any(part["subject"] == path for part in (*step["parts"], *step["reasons"]))
    ]
    return {"path": path, "kind": change.kind, "owners": owners}
