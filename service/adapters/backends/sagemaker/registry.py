"""Owns SageMaker's model registry as far as approvals go: read, by whom, and given; refuses to register and to decide."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import UTC
from typing import Any

from botocore.exceptions import ClientError

from service.adapters.backends.sagemaker.aws import Cloud, calling, code_of, is_absent
from service.domain.errors import Refused
from service.domain.model_status import Approval, ModelStatus

_PACKAGE = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:model-package/([A-Za-z0-9-]{1,63})/\d{1,9}")
_OURS = {
    "Approved": ModelStatus.APPROVED,
    "Rejected": ModelStatus.REJECTED,
    "PendingManualApproval": ModelStatus.CANDIDATE,
}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}
_LONGEST_WHY = 1_024


class Registry:
    """Versions are called by the ARNs of their model packages."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def statuses(self, versions: Collection[str]) -> dict[str, ModelStatus]:
        """One list for each group, a hundred versions to a call."""
        groups: dict[str, set[str]] = defaultdict(set)
        for version in versions:
            if found := _PACKAGE.fullmatch(version):
                groups[found.group(1)].add(version)
        listed: dict[str, ModelStatus] = {}
        for group, wanted in groups.items():
            listed |= {arn: status for arn, status in self._group(group).items() if arn in wanted}
        return listed

    def _group(self, group: str) -> dict[str, ModelStatus]:
        pages = self._cloud.sagemaker.get_paginator("list_model_packages").paginate(
            ModelPackageGroupName=group, PaginationConfig={"PageSize": 100}
        )
        with calling(f"listing the models of {group}"):
            try:
                rows = [row for page in pages for row in page["ModelPackageSummaryList"]]
            except ClientError as error:
                if is_absent(error) or code_of(error) == "ValidationException":
                    return {}  # somebody removed the group
                raise
        return {
            row["ModelPackageArn"]: _OURS[row["ModelApprovalStatus"]]
            for row in rows
            if row.get("ModelApprovalStatus") in _OURS
        }

    def approval(self, version: str) -> Approval:
        """Who gave it is whoever changed the package last: SageMaker keeps no other name."""
        with calling(f"looking at {version}"):
            found = self._cloud.sagemaker.describe_model_package(ModelPackageName=version)
        at = found.get("LastModifiedTime") or found["CreationTime"]
        who = _name_of(found.get("LastModifiedBy") or found.get("CreatedBy") or {})
        why = str(found.get("ApprovalDescription", ""))
        return Approval(_OURS[found["ModelApprovalStatus"]], who, at.astimezone(UTC), why)

    def settle(self, version: str, status: ModelStatus, why: str) -> None:
        if status not in _THEIRS:
            raise Refused(f"approving {version}: SageMaker has no status {status.value}")
        with calling(f"approving {version}"):
            self._cloud.sagemaker.update_model_package(
                ModelPackageArn=version,
                ModelApprovalStatus=_THEIRS[status],
                ApprovalDescription=_printable(why)[:_LONGEST_WHY],
            )


def _name_of(context: Mapping[str, Any]) -> str:
    """A person of Studio, else whoever called the API."""
    identity = str(context.get("IamIdentity", {}).get("Arn", ""))
    return str(context.get("UserProfileName") or identity.rpartition(":")[2] or "SageMaker")


def _printable(text: str) -> str:
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())
