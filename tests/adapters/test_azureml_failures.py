"""What Azure fails at: a submission becomes a retry or a clear sentence, in time; what runs is not given up."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from service.adapters.backends.azureml.backend import AzureMLBackend
from service.domain.errors import Refused, Retry
from service.domain.execution import Seen
from tests.azureml import jobs, opened
from tests.conftest import LONG
from tests.emulators.azureml.process import AzureML
from tests.three_steps import dated, ended, outputs, works

_numbers = count(1)
_MORE_REFUSALS = [
    ("jobs.put", {"status": 429, "retry_after": 0}, Retry, "patience"),
    ("jobs.get", {"status": 401}, Retry, "expired or wrong"),
] * LONG
"""Answers that others give too, to another operation."""


@pytest.mark.parametrize(
    ("operation", "fault", "raised", "words"),
    [
        ("jobs.get", {"status": 429, "retry_after": 1}, Retry, "patience"),
        ("datastores.get", {"status": 503}, Retry, "Azure failed"),
        ("jobs.put", {"status": 500}, Retry, "Azure failed"),
        ("token.post", {"status": 401}, Retry, "expired or wrong"),
        ("", {}, Refused, "does not allow Microsoft.MachineLearningServices/workspaces/jobs/write; add it to the role"),
        ("components.put", {"status": 403}, Refused, "components"),
        (
            "jobs.put",
            {"status": 400, "code": "QuotaExceeded", "message": "the quota of cores is used up"},
            Refused,
            "ask Azure to raise it",
        ),
        *_MORE_REFUSALS,
    ],
)
def test_a_submission_that_azure_does_not_take(
    azure: AzureML,
    name: str,
    tmp_path: Path,
    operation: str,
    fault: dict[str, Any],
    raised: type[Exception],
    words: str,
) -> None:
    given = dated(works(name, "preprocess"))
    backend = opened(azure, tmp_path)
    if operation:
        azure.fault(operation, times=20, **fault)
    else:
        azure.deny("Microsoft.MachineLearningServices/workspaces/jobs/write")
    try:
        with pytest.raises(raised, match=words) as failure:
            backend.submit(given)
    finally:
        azure.clear()
        azure.deny()
    assert azure.client_secret not in str(failure.value)
    assert "sig=" not in str(failure.value)
    backend = opened(azure, tmp_path)  # the library of tokens remembers a refusal for a minute
    assert ended(backend, backend.submit(given))[0].seen is Seen.SUCCEEDED, "and the submission's token is still good"


@pytest.mark.parametrize("fault", [{"status": 403}, {"drop": True}])
def test_an_upload_of_code_that_fails_ends_in_an_error_within_its_time(
    azure: AzureML, name: str, tmp_path: Path, fault: dict[str, Any]
) -> None:
    """The SDK tries for long, or would wait for ever."""
    given = dated(works(name, "preprocess", "train", rate="0.5"))
    made = outputs(ended(opened(azure, tmp_path), opened(azure, tmp_path).submit(given)))
    train = given[1].ingredients
    alone = replace(
        given[1], token="late.train.1", submission="late.train.1", inputs={"rows": made["rows"]},
        ingredients=replace(train, flags=(("rate", (f"0.6{next(_numbers)}",)),)),
    )  # fmt: skip
    backend = opened(azure, tmp_path, submit_seconds=20)
    azure.fault("blob.put", times=500, **fault)
    began = time.monotonic()
    try:
        with pytest.raises((Retry, Refused), match=r"submitting"):
            backend.submit([alone])
    finally:
        azure.clear()
    assert time.monotonic() - began < 60
    assert ended(backend, backend.submit([alone]))[0].seen is Seen.SUCCEEDED


def test_an_sdk_that_does_not_end_is_ended(azure: AzureML, name: str, tmp_path: Path) -> None:
    """It takes longer than a second to be imported."""
    given = dated(works(name, "preprocess"))
    with pytest.raises(Retry, match="did not end within 1 s"):
        opened(azure, tmp_path, submit_seconds=1).submit(given)
    assert jobs(azure, name) == []
    left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in _words(path)]
    assert left == [], "nothing of it runs on"
    assert ended(opened(azure, tmp_path), opened(azure, tmp_path).submit(given))[0].seen is Seen.SUCCEEDED


def _words(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # it has ended meanwhile
        return ""


@pytest.mark.parametrize("status", [429, 403, 401, 503])
def test_what_runs_is_not_given_up_because_nobody_can_look(
    azure: AzureML, backend: AzureMLBackend, name: str, status: int
) -> None:
    (handle,) = backend.submit(works(name, "preprocess"))
    azure.fault("runs.*", status, times=2)
    try:
        with pytest.raises(Retry):
            backend.observe(handle)
    finally:
        azure.clear()
    assert ended(backend, [handle])[0].seen is Seen.SUCCEEDED


def test_a_job_that_was_deleted_fails(azure: AzureML, backend: AzureMLBackend, name: str) -> None:
    (handle,) = backend.submit(works(name, "preprocess"))
    with pytest.raises(Refused, match="no longer in the workspace"):
        backend.observe(handle.replace("refit-", "refit-x"))
