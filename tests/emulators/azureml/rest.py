"""Owns plain requests to the emulator, as a client without an SDK makes them; refuses to hide an answer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from tests.emulators.azureml.blobs import Blobs
from tests.emulators.azureml.messages import WORKSPACE_ID
from tests.emulators.azureml.process import AzureML
from tests.emulators.azureml.resources import CONTAINERS
from tests.emulators.azureml.runs import ENDED

VERSION = {"api-version": "2024-01-01-preview"}
_IMAGE = {"image": "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04"}


class Rest:
    """A client of one workspace with a token of the application's."""

    def __init__(self, cloud: AzureML) -> None:
        self.cloud = cloud
        self.http = httpx.Client(verify=cloud.trusted, base_url=cloud.arm_url, trust_env=False, timeout=30,
                                 headers={"Authorization": f"Bearer {cloud.token()}"})  # fmt: skip

    def put(self, path: str, properties: Mapping[str, Any]) -> httpx.Response:
        return self.http.put(f"{WORKSPACE_ID}/{path}", params=VERSION, json={"properties": properties})

    def get(self, path: str, **query: str) -> httpx.Response:
        return self.http.get(f"{WORKSPACE_ID}/{path}", params={**VERSION, **query})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        return self.http.post(f"{WORKSPACE_ID}/{path}", params=VERSION, json=body or {})

    def plane(self, service: str, where: str, /, **query: str) -> Any:
        """Of a service behind the discovery URL, such as ``history/v1.0``."""
        answer = self.http.get(f"/{service}{WORKSPACE_ID}/{where}", params=query)
        answer.raise_for_status()
        return answer.json()

    # assets -----------------------------------------------------------------------------------------------------------

    def code(self, files: Mapping[str, str]) -> str:
        """Uploaded as the SDK does it; its id."""
        name = str(uuid.uuid4())
        answer = self.post(
            f"codes/{name}/versions/1/startPendingUpload", {"pendingUploadType": "TemporaryBlobReference"}
        )
        place = answer.json()["blobReferenceForConsumption"]
        uri, signature = place["credential"]["sasUri"].split("?")
        for path, text in files.items():
            sent = httpx.put(f"{uri}/code/{path}?{signature}", content=text.encode(), verify=self.cloud.trusted,
                             headers={"x-ms-blob-type": "BlockBlob"}, trust_env=False)  # fmt: skip
            assert sent.status_code == 201, sent.text
        made = self.put(f"codes/{name}/versions/1", {"codeUri": f"{place['blobUri']}/code"})
        return str(made.json()["id"])

    def component(self, command: str, *, files: Mapping[str, str] | None = None, **spec: Any) -> str:
        """An anonymous component that runs a command; its id."""
        environment = self.put("environments/plain/versions/1", _IMAGE).json()["id"]
        more = {"code": self.code(files)} if files else {}
        said = {"type": "command", "command": command, "environment": environment, "name": "azureml_anonymous",
                "version": "1", **more, **spec}  # fmt: skip
        answer = self.put(f"components/azureml_anonymous/versions/{uuid.uuid4()}", {"componentSpec": said})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    # jobs -------------------------------------------------------------------------------------------------------------

    def submit(self, name: str, jobs: Mapping[str, Any], **properties: Any) -> httpx.Response:
        """A pipeline of these nodes on the first compute."""
        settings = {"default_compute": self.cloud.compute[0], **properties.pop("settings", {})}
        return self.put(f"jobs/{name}", {"jobType": "Pipeline", "jobs": jobs, "settings": settings, **properties})

    def job(self, name: str) -> dict[str, Any]:
        return dict(self.get(f"jobs/{name}").json()["properties"])

    def ended(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """The job when it has ended."""
        deadline = time.monotonic() + seconds
        while (found := self.job(name))["status"] not in ENDED:
            assert time.monotonic() < deadline, f"{name} does not end: {found['status']}, {self.children(name)}"
            time.sleep(0.05)
        return found

    def children(self, name: str) -> dict[str, dict[str, Any]]:
        """By the node's name."""
        return {one["name"]: one for one in self.plane("history/v1.0", f"runs/{name}/children")["value"]}

    def until(self, name: str, node: str, status: str, seconds: float = 30) -> dict[str, Any]:
        """A child as soon as it has this status."""
        deadline = time.monotonic() + seconds
        while (found := self.children(name).get(node, {})).get("status") != status:
            assert time.monotonic() < deadline, f"{node} of {name} does not become {status}: {found}"
            time.sleep(0.02)
        return found

    def log(self, run: str) -> str:
        links = self.plane("history/v1.0", f"runs/{run}/details")["logFiles"]
        return httpx.get(links["user_logs/std_log.txt"], verify=self.cloud.trusted, trust_env=False).text

    def blob(self, run: str, port: str, path: str = "") -> bytes:
        """Of a child's output in the default datastore."""
        secret = self.post(f"datastores/{self.cloud.default_datastore}/listSecrets").json()
        assert secret["secretsType"] == "AccountKey"
        store = Blobs(self.cloud.arm_url, secret["key"], self.cloud.trusted)
        return store.get(CONTAINERS[self.cloud.default_datastore], f"azureml/{run}/{port}{path}")


def binding(job: str, port: str) -> dict[str, str]:
    return literal(f"${{{{parent.jobs.{job}.outputs.{port}}}}}")


def literal(value: object) -> dict[str, str]:
    return {"job_input_type": "literal", "value": str(value)}


def node(component: str, **more: Any) -> dict[str, Any]:
    return {"type": "command", "componentId": component, "_source": "YAML.COMPONENT", **more}
