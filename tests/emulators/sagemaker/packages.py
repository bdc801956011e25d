"""Owns model package groups and versions; refuses to judge a model."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from tests.emulators.sagemaker.engine import ACCOUNT, CALLER, arn, now

Request = Mapping[str, Any]
_KEPT = ("InferenceSpecification", "ModelApprovalStatus", "ModelMetrics", "CustomerMetadataProperties",
         "ModelPackageDescription", "MetadataProperties")  # fmt: skip


class Packages:
    """The operations of the model registry."""

    def __init__(self, refusal: type[Exception]) -> None:
        self._refusal = refusal
        self._lock = threading.RLock()
        self._groups: dict[str, dict[str, Any]] = {}
        self._packages: dict[str, dict[str, Any]] = {}

    def register(self, arguments: Mapping[str, Any]) -> str:
        """As a RegisterModel step does: the group comes into being with its first version."""
        with self._lock:
            name = arguments["ModelPackageGroupName"]
            if name not in self._groups:
                self.CreateModelPackageGroup({"ModelPackageGroupName": name})
            return str(self.CreateModelPackage(arguments)["ModelPackageArn"])

    def CreateModelPackageGroup(self, request: Request) -> dict[str, Any]:
        with self._lock:
            name = request["ModelPackageGroupName"]
            if name in self._groups:
                raise self._refusal("ValidationException", f"Model Package Group already exists: {name}")
            self._groups[name] = {
                "ModelPackageGroupName": name, "ModelPackageGroupArn": arn("model-package-group", name),
                "CreationTime": now(), "CreatedBy": {}, "ModelPackageGroupStatus": "Completed",
            }  # fmt: skip
            return {"ModelPackageGroupArn": self._groups[name]["ModelPackageGroupArn"]}

    def DescribeModelPackageGroup(self, request: Request) -> dict[str, Any]:
        name = request["ModelPackageGroupName"].rpartition("/")[2]
        if name not in self._groups:
            raise self._refusal("ValidationException", f"ModelPackageGroup {name} does not exist.")
        return self._groups[name]

    def ListModelPackageGroups(self, request: Request) -> dict[str, Any]:
        names = ("ModelPackageGroupName", "ModelPackageGroupArn", "CreationTime", "ModelPackageGroupStatus")
        return {"ModelPackageGroupSummaryList": [{name: one[name] for name in names} for one in self._groups.values()]}

    def CreateModelPackage(self, request: Request) -> dict[str, Any]:
        with self._lock:
            group = request["ModelPackageGroupName"].rpartition("/")[2]
            self.DescribeModelPackageGroup({"ModelPackageGroupName": group})
            version = 1 + sum(one["ModelPackageGroupName"] == group for one in self._packages.values())
            made = arn("model-package", f"{group}/{version}")
            self._packages[made] = {
                "ModelPackageName": f"{group}/{version}", "ModelPackageGroupName": group, "ModelPackageVersion": version,
                "ModelPackageArn": made, "CreationTime": now(), "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {"ValidationStatuses": []}, "ModelApprovalStatus": "PendingManualApproval",
                **{name: request[name] for name in _KEPT if name in request},
            }  # fmt: skip
            return {"ModelPackageArn": made}

    def DescribeModelPackage(self, request: Request) -> dict[str, Any]:
        if request["ModelPackageName"] not in self._packages:
            raise self._refusal("ValidationException", f"ModelPackage {request['ModelPackageName']} does not exist.")
        return self._packages[request["ModelPackageName"]]

    def UpdateModelPackage(self, request: Request) -> dict[str, Any]:
        with self._lock:
            package = self.DescribeModelPackage({"ModelPackageName": request["ModelPackageArn"]})
            changed = ("ModelApprovalStatus", "ApprovalDescription", "CustomerMetadataProperties")
            package |= {name: request[name] for name in changed if name in request}
            identity = {"Arn": f"arn:aws:iam::{ACCOUNT}:user/{CALLER.get()}", "PrincipalId": CALLER.get()}
            package |= {"LastModifiedTime": now(), "LastModifiedBy": {"IamIdentity": identity}}
            return {"ModelPackageArn": request["ModelPackageArn"]}

    def ListModelPackages(self, request: Request) -> dict[str, Any]:
        group, status = request.get("ModelPackageGroupName"), request.get("ModelApprovalStatus")
        plain = ("ModelPackageGroupName", "ModelPackageVersion", "ModelPackageArn", "CreationTime", "ModelPackageStatus",
                 "ModelApprovalStatus")  # fmt: skip
        rows = [
            {name: one[name] for name in plain}
            for one in self._packages.values()
            if group in (None, one["ModelPackageGroupName"]) and status in (None, one["ModelApprovalStatus"])
        ]
        return {"ModelPackageSummaryList": rows[::-1]}
