"""Owns one job's document → one submission, with the real SDK in the SDK's own environment; refuses an identity of its own, and
anything of the service: it is started as a script, and everything that it may know comes on its standard input.

The answer is written to the file that its argument names: the SDK itself writes to the standard output.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from azure.ai.ml import MLClient, load_job
from azure.ai.ml.exceptions import MlException
from azure.core.credentials import AccessToken
from azure.core.exceptions import AzureError, HttpResponseError
from marshmallow.exceptions import ValidationError

_LONGEST = 4_000


class Given:
    """Implements a credential: the tokens that it was given, by scope."""

    def __init__(self, tokens: dict[str, tuple[str, int]]) -> None:
        self._tokens = tokens

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        for scope in scopes:
            if scope in self._tokens:
                return AccessToken(*self._tokens[scope])
        raise ValueError(f"no token was given for {scopes}")


def submit(request: dict[str, Any]) -> dict[str, Any]:
    """What became of it."""
    places = request["endpoints"]
    client = MLClient(
        Given(request["tokens"]),
        request["subscription"],
        request["resource_group"],
        request["workspace"],
        enable_telemetry=False,
        cloud="refit" if places else request["cloud"],
        **({"cloud_metadata": places} if places else {}),
    )
    job = client.jobs.create_or_update(load_job(request["file"]))
    return {"name": job.name, "status": str(getattr(job.status, "value", job.status))}


def problem_of(error: Exception) -> dict[str, Any]:
    """Status 0: Azure was not reached; 400: the SDK itself does not take it."""
    if isinstance(error, HttpResponseError):
        inner = getattr(error, "error", None)
        code = getattr(error, "error_code", None) or getattr(inner, "code", None) or ""
        headers = getattr(error.response, "headers", None) or {}
        after = headers.get("Retry-After", "")
        request = getattr(error.response, "request", None)
        operation = "the SDK"
        if request is not None:  # as the service names its own calls: below the workspace, without what is signed
            operation = f"{request.method} {re.sub('^.*/workspaces/[^/]+', '', request.url.partition('?')[0])}"
        lines = str(error.message).splitlines() or [""]
        return {
            "operation": operation[-300:], "status": int(error.status_code or 0), "code": str(code),
            "said": lines[0][:_LONGEST], "after": float(after) if after.isdigit() else None,
        }  # fmt: skip
    reached = isinstance(error, (MlException, ValidationError, ValueError)) or not isinstance(error, AzureError)
    return {
        "operation": "the SDK", "status": 400 if reached else 0, "code": type(error).__name__,
        "said": str(error)[:_LONGEST], "after": None,
    }  # fmt: skip


def main() -> None:
    answer = Path(sys.argv[1])
    request = json.load(sys.stdin)
    try:
        said = submit(request)
    except Exception as error:  # whatever the SDK raises is for the service to tell
        said = {"problem": problem_of(error)}
    making = answer.with_suffix(".making")
    making.write_text(json.dumps(said), encoding="ascii")
    os.replace(making, answer)
    os._exit(0)  # threads of a failed upload would be waited for


if __name__ == "__main__":
    main()
