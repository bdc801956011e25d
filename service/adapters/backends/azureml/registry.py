"""Owns Azure ML's registry of models as far as approvals go: read, by whom, and given; refuses to register and to decide.

Azure ML has no approval of its own: a tag says it, which a person may set in the Studio too, and the stage shows it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from service.adapters.backends.azureml import names
from service.adapters.backends.azureml.azure import Azure, calling
from service.adapters.backends.azureml.failures import Problem
from service.adapters.backends.azureml.following import time_of
from service.domain.errors import Refused
from service.domain.lineage import ModelVersion
from service.domain.model_status import Approval, ModelStatus

APPROVAL, WHY = "refit.approval", "refit.approval.why"
_API = "2024-10-01"
_VERSION = re.compile(r"([A-Za-z0-9-]{1,200}):([0-9a-f]{12})")
_OURS = {"approved": ModelStatus.APPROVED, "rejected": ModelStatus.REJECTED, "pending": ModelStatus.CANDIDATE}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}
_STAGES = {"approved": "Production", "rejected": "Archived", "pending": "Development"}
_MOST_PAGES = 20


class Registry:
    """Versions are called ``model:version``."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure

    @staticmethod
    def called(model: ModelVersion) -> str:
        return f"{names.model_name(model.name)}:{names.model_version(model.digest)}"

    def statuses(self, versions: Collection[str]) -> dict[str, ModelStatus]:
        """One list for each model."""
        models: dict[str, set[str]] = defaultdict(set)
        for version in versions:
            if found := _VERSION.fullmatch(version):
                models[found.group(1)].add(found.group(2))
        listed: dict[str, ModelStatus] = {}
        for model, wanted in models.items():
            with calling(f"listing the versions of {model}"):
                rows = self._versions(model)
            for row in rows:
                said = _said(row)
                if str(row["name"]) in wanted and said in _OURS:
                    listed[f"{model}:{row['name']}"] = _OURS[said]
        return listed

    def approval(self, version: str) -> Approval:
        """Who gave it is whoever changed the version last: Azure ML keeps no other name."""
        with calling(f"looking at {version}"):
            row = self._azure.manager("GET", _path(version), version=_API)
        changed = row.get("systemData") or {}
        at = time_of(changed.get("lastModifiedAt") or changed.get("createdAt")) or datetime.now(UTC)
        who = str(changed.get("lastModifiedBy") or changed.get("createdBy") or "Azure ML")
        status = _OURS.get(_said(row))
        if status is None:
            raise Refused(f"looking at {version}: {_said(row)!r} is no approval; there is {', '.join(_OURS)}")
        return Approval(status, who, at, str((row["properties"].get("tags") or {}).get(WHY, "")))

    def settle(self, version: str, status: ModelStatus, why: str) -> None:
        if status not in _THEIRS:
            raise Refused(f"approving {version}: Azure ML has no status {status.value}")
        said = _THEIRS[status]
        with calling(f"approving {version}"):
            properties = self._azure.manager("GET", _path(version), version=_API)["properties"]
            tags = {**(properties.get("tags") or {}), APPROVAL: said, WHY: names.tag(why)}
            body = {"properties": {**properties, "tags": tags, "stage": _STAGES[said]}}
            self._azure.manager("PUT", _path(version), body, _API)

    def _versions(self, model: str) -> list[Mapping[str, Any]]:
        """Empty if somebody removed the model."""
        rows: list[Mapping[str, Any]] = []
        path: str | None = f"/models/{model}/versions"
        try:
            for _ in range(_MOST_PAGES):
                if path is None:
                    break
                page = self._azure.manager("GET", path, version=_API)
                rows += page.get("value") or []
                path = _following(page, model)
        except Problem as problem:
            if not problem.is_absent:
                raise
        return rows


def _following(page: Mapping[str, Any], model: str) -> str | None:
    """The next page's path below the workspace, with what Azure wants to be told again."""
    _, _, query = str(page.get("nextLink") or "").partition("?")
    skip = re.search(r"(?:^|&)(\$skip(?:Token)?=[^&]+)", query.replace("%24", "$"), re.IGNORECASE)
    return f"/models/{model}/versions?{skip.group(1)}" if skip else None


def _said(row: Mapping[str, Any]) -> str:
    return str((row["properties"].get("tags") or {}).get(APPROVAL, "")).strip().lower()


def _path(version: str) -> str:
    found = _VERSION.fullmatch(version)
    if found is None:
        raise Refused(f"looking for a model: {version!r} is no version of Azure ML's registry")
    return f"/models/{found.group(1)}/versions/{found.group(2)}"
