"""Owns the unmodified SDK in a process of its own, which has no package of Refit: one line of JSON in, one out; refuses to
know the emulator, of which it is told no more than a user would be.

Run as a file by the SDK's interpreter: ``sdk_process.py <json of workspace and cloud>``.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from azure.ai.ml import (
    Input,
    MLClient,
    dsl,
    load_component,
    load_data,
    load_environment,
    load_job,
    load_model,
)
from azure.core.exceptions import HttpResponseError
from azure.identity import EnvironmentCredential

LOADERS = {"component": load_component, "data": load_data, "environment": load_environment, "model": load_model}
HOMES = {"component": "components", "data": "data", "environment": "environments", "model": "models"}


class Verbs:
    """What a user does with ``MLClient``; answers are plain values."""

    def __init__(self, given: dict[str, Any]) -> None:
        credential = EnvironmentCredential(disable_instance_discovery=True)
        self.client = MLClient(credential, given["subscription"], given["resource_group"], given["workspace"],
                               cloud="refit", cloud_metadata=given["cloud"], enable_telemetry=False)  # fmt: skip

    def submit(self, path: str, name: str = "", **more: Any) -> dict[str, Any]:
        """A job's YAML file."""
        job = load_job(path)
        job.name = name or None
        return self._shown(self.client.jobs.create_or_update(job, **more))

    def asset(self, kind: str, path: str, **overrides: Any) -> dict[str, Any]:
        """A component, data asset, environment or model from its YAML file."""
        loaded = LOADERS[kind](path, params_override=[overrides] if overrides else None)
        made = getattr(self.client, HOMES[kind]).create_or_update(loaded)
        return {"id": made.id, "name": made.name, "version": made.version}

    def find(self, kind: str, name: str, **which: Any) -> dict[str, Any]:
        found = getattr(self.client, HOMES[kind]).get(name, **which)
        return {"id": found.id, "version": found.version, "tags": found.tags}

    def get(self, name: str) -> dict[str, Any]:
        return self._shown(self.client.jobs.get(name))

    def wait(self, name: str) -> dict[str, Any]:
        """Streams to the end, which also waits; why it failed, if so."""
        printed, problem = io.StringIO(), ""
        with contextlib.redirect_stdout(printed):
            try:
                self.client.jobs.stream(name)
            except Exception as error:
                problem = str(error)
        return {**self.get(name), "printed": printed.getvalue(), "problem": problem}

    def children(self, name: str) -> list[dict[str, Any]]:
        return [self._shown(one) for one in self.client.jobs.list(parent_job_name=name)]

    def names(self) -> list[str]:
        return [one.name for one in self.client.jobs.list()]

    def download(self, name: str, folder: str, output: str = "") -> None:
        self.client.jobs.download(name, download_path=folder, **({"output_name": output} if output else {"all": True}))

    def cancel(self, name: str) -> None:
        self.client.jobs.begin_cancel(name).wait()

    def archive(self, name: str) -> None:
        self.client.jobs.archive(name)

    def tag(self, name: str, tags: dict[str, str]) -> dict[str, Any]:
        return self._shown(self.client.jobs.update(name, tags=tags))

    def pipeline(self, prepare: str, train: str, raw: str, rate: float, name: str) -> dict[str, Any]:
        """Two steps, composed with the decorator."""
        first, second = load_component(prepare), load_component(train)

        @dsl.pipeline(name="composed", default_compute="cpu-cluster")  # type: ignore[untyped-decorator]
        def composed(raw, rate):  # type: ignore[no-untyped-def] # the decorator takes annotations for kinds of input
            prepared = first(raw=raw, factor=3)
            trained = second(data=prepared.outputs.out, rate=rate)
            return {"model": trained.outputs.model}

        job = composed(raw=Input(type="uri_file", path=raw), rate=rate)
        job.name = name
        return self._shown(self.client.jobs.create_or_update(job))

    @staticmethod
    def _shown(job: Any) -> dict[str, Any]:
        status = str(job.status.value if hasattr(job.status, "value") else job.status)
        outputs = {name: getattr(one, "path", None) for name, one in (getattr(job, "outputs", None) or {}).items()}
        return {"name": job.name, "display_name": job.display_name, "status": status, "properties": job.properties,
                "tags": job.tags, "studio": job.studio_url, "outputs": outputs}  # fmt: skip


def main() -> None:
    verbs = Verbs(json.loads(sys.argv[1]))
    told, sys.stdout = sys.stdout, sys.stderr  # the SDK prints where it likes
    for line in sys.stdin:
        asked = json.loads(line)
        act: Callable[..., Any] = getattr(verbs, asked.pop("verb"))
        try:
            answer = {"value": act(**asked)}
        except HttpResponseError as error:
            answer = {"problem": str(error), "status": error.status_code}
        except Exception as error:
            traceback.print_exc()
            answer = {"problem": f"{type(error).__name__}: {error}", "status": 0}
        told.write(json.dumps(answer, default=str) + "\n")
        told.flush()


if __name__ == "__main__":
    main()
