"""Owns what an operator's identity may not do yet, found out by asking Azure for what is not there; refuses to start, make or
change anything but one small object of its own.

Azure decides whether a caller may before it looks whether the thing exists, or whether what is sent makes sense: a call about
nothing is answered with "not found" or "bad request" where it is allowed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence

from service.adapters.backends.azureml.azure import Azure, calling
from service.adapters.backends.azureml.datastores import Datastores
from service.adapters.backends.azureml.failures import Problem
from service.adapters.backends.azureml.queues import EventsQueue
from service.domain.errors import Refused, Retry

_NOTHING = "refit-doctor-asks-for-nothing"
_PROVIDER = "Microsoft.MachineLearningServices/workspaces"


def examine(azure: Azure, datastores: Datastores) -> Sequence[str]:
    """What is wrong, each with the next step; empty: nothing. One line if Azure cannot be asked at all."""
    try:
        with calling("asking Azure for the workspace"):
            azure.manager("GET", "")
    except (Refused, Retry) as problem:
        return [problem.reason]
    found = [said for compute in _computes(azure) if (said := _compute_problem(azure, compute))]
    try:
        _try_datastore(azure, datastores)
    except (Refused, Retry) as problem:
        found.append(problem.reason)
    denied = [action for action, ask in _questions(azure).items() if _is_denied(ask)]
    if denied:
        actions = ", ".join(f"{_PROVIDER}/{one}" for one in denied)
        found.append(f"Azure does not allow {actions}; docs/azureml.md has the role of the service's identity")
    if azure.declared.events_queue is not None:
        found += EventsQueue(azure, azure.declared.events_queue).examine()
    return found


def _computes(azure: Azure) -> list[str]:
    return sorted({azure.declared.compute, *azure.declared.computes})


def _compute_problem(azure: Azure, name: str) -> str:
    try:
        with calling(f"asking Azure for the compute {name}"):
            azure.manager("GET", f"/computes/{name}", version="2024-10-01")
    except (Refused, Retry) as problem:
        cause = problem.__cause__
        if isinstance(cause, Problem) and cause.is_absent:
            return f"the workspace has no compute {name}; make one, or declare another"
        return problem.reason
    return ""


def _try_datastore(azure: Azure, datastores: Datastores) -> None:
    declared = azure.declared
    place = f"{declared.prefix} of the datastore {declared.datastore}"
    content = secrets.token_bytes(8)
    with calling(f"writing to and reading from {place}", starts=True):
        if datastores.read(datastores.write("doctor", content), len(content)) != content:
            raise Refused(f"reading {place}: what was written is not what is read")


def _questions(azure: Azure) -> Mapping[str, Callable[[], object]]:
    """Action → a call that asks for it about nothing."""

    def put(kind: str) -> Callable[[], object]:
        return lambda: azure.manager("PUT", f"/{kind}/{_NOTHING}/versions/0", {})

    return {
        "jobs/read": lambda: azure.manager("GET", f"/jobs/{_NOTHING}"),
        "jobs/write": lambda: azure.manager("PUT", f"/jobs/{_NOTHING}", {}),
        "jobs/cancel/action": lambda: azure.manager("POST", f"/jobs/{_NOTHING}/cancel", {}),
        "codes/versions/write": put("codes"),
        "components/versions/write": put("components"),
        "environments/versions/write": put("environments"),
        "models/versions/write": put("models"),
        "experiments/runs/read": lambda: azure.history("GET", f"/runs/{_NOTHING}"),
    }


def _is_denied(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except Problem as problem:
        return problem.is_denied
    return False
