"""Owns the emulator as processes of its own, Azurite beside it: started on free ports, ended by their own ids; refuses to
share them."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import ssl
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import absent
from tests.emulators.azureml.blobs import ACCOUNT, HOST, QUEUE_HOST, ZONE, Blobs
from tests.emulators.azureml.events import Events
from tests.emulators.azureml.messages import GROUP, LOCATION, SUBSCRIPTION, WORKSPACE
from tests.emulators.azureml.tokens import CLIENT, TENANT

ROOT = Path(__file__).resolve().parents[3]
_AZURITE = ROOT / "tests" / "npm" / "node_modules" / "azurite" / "dist" / "src"


def require_azurite() -> None:
    """Blobs are held by the real Azurite, which npm brings and node runs."""
    if shutil.which("node") is None or not (_AZURITE / "blob" / "main.js").exists():
        absent("azurite", "npm ci --prefix tests/npm --ignore-scripts, with node on PATH")


@dataclass
class AzureML:
    """A running emulator with one workspace. ``environment`` is what a client's process must have besides a credential's
    variables, which ``credential`` has; ``environment`` contains both."""

    arm_url: str
    names_url: str
    client_secret: str
    account_key: str
    ca_bundle: str
    folder: Path
    _start: Any = field(repr=False)
    _process: subprocess.Popen[str] = field(repr=False)
    queues: str = ""
    queue: str = ""
    subscription: str = SUBSCRIPTION
    resource_group: str = GROUP
    workspace: str = WORKSPACE
    location: str = LOCATION
    tenant: str = TENANT
    client_id: str = CLIENT
    account: str = ACCOUNT
    default_datastore: str = "workspaceblobstore"
    compute: Sequence[str] = ("cpu-cluster", "gpu-cluster")

    @property
    def authority_url(self) -> str:
        return self.arm_url

    @property
    def port(self) -> str:
        return self.arm_url.rpartition(":")[2]

    @property
    def blob_endpoint(self) -> str:
        """With the account in the path, for who does not know the proxy ``names_url``."""
        return f"{self.arm_url}/{self.account}"

    @property
    def account_url(self) -> str:
        """As Azure has it: the account in the host, which only the proxy ``names_url`` can resolve."""
        return f"https://{HOST}:{self.port}"

    @property
    def events_queue(self) -> str:
        """Where events go, if it was started with a queue, as an operator declares it."""
        return f"https://{QUEUE_HOST}:{self.port}/{self.queue}"

    @property
    def events(self) -> Events:
        """The same, as somebody with the account's key has it."""
        return Events(self.queues, self.queue, Blobs("", self.account_key))

    @property
    def cloud_metadata(self) -> dict[str, str]:
        """What ``MLClient(cloud="refit", cloud_metadata=…)`` wants."""
        return {
            "azure_portal": "https://ml.azure.com/", "resource_manager": f"{self.arm_url}/",
            "active_directory": f"{self.arm_url}/", "aml_resource_id": self.arm_url,
            "storage_endpoint": f"{ZONE}:{self.port}", "registry_discovery_endpoint": f"{self.arm_url}/",
        }  # fmt: skip

    @property
    def trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_bundle)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AZURE_AUTHORITY_HOST": self.arm_url, "AZURE_TENANT_ID": self.tenant, "AZURE_CLIENT_ID": self.client_id,
            "AZURE_CLIENT_SECRET": self.client_secret, "AZURE_TOKEN_CREDENTIALS": "prod",
            "REQUESTS_CA_BUNDLE": self.ca_bundle, "SSL_CERT_FILE": self.ca_bundle, "HTTPS_PROXY": self.names_url,
            "NO_PROXY": "localhost,127.0.0.1",
        }  # fmt: skip

    # control ----------------------------------------------------------------------------------------------------------

    def fault(self, operation: str, status: int = 0, times: int = 1, **more: Any) -> None:
        """The next requests of this operation get this status; see ``Door`` for ``more``."""
        self.control("POST", "faults", {"operation": operation, "status": status, "times": times, **more})

    def deny(self, *actions: str) -> None:
        """The application's role does not allow these actions any more."""
        self.control("POST", "denied", {"actions": actions})

    def trouble(self, node: str, kind: str, times: int = 1, seconds: float = 0) -> None:
        """The next steps of this name meet a trouble of the platform: ``image``, ``hang``, ``slow`` (so many seconds)."""
        self.control("POST", "troubles", {"node": node, "kind": kind, "times": times, "seconds": seconds})

    def token(self, audience: str = "") -> str:
        """As the identity library would fetch it: for the workspace unless another audience is said."""
        form = {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self.client_secret,
                "scope": f"{audience or self.arm_url}/.default"}  # fmt: skip
        where = f"{self.arm_url}/{self.tenant}/oauth2/v2.0/token"
        with self._direct().open(where, urllib.parse.urlencode(form).encode()) as answer:
            return str(json.load(answer)["access_token"])

    def clear(self) -> None:
        """What was to fail and has not yet will not."""
        self.control("DELETE", "faults")
        self.deny()
        self.control("DELETE", "troubles")

    def calls(self) -> dict[str, int]:
        """How often each operation was asked for."""
        return dict(self.control("GET", "calls")["calls"])

    def unknown(self) -> list[str]:
        """What was asked that the emulator does not have."""
        return list(self.control("GET", "calls")["unknown"])

    def control(self, method: str, what: str, body: Mapping[str, Any] | None = None) -> Any:
        given = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.arm_url}/_emulator/{what}", given, method=method)
        with self._direct().open(request) as answer:
            return json.load(answer)

    def _direct(self) -> urllib.request.OpenerDirector:
        trusted = ssl.create_default_context(cafile=self.ca_bundle)
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted)
        )

    def kill(self) -> None:
        """The emulator dies at once; its state, its jobs' processes and Azurite stay."""
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Starts again what was killed, at the same address."""
        self._process, _ = self._start()


@contextmanager
def running(folder: Path, python: str = sys.executable, *, queue: str = "") -> Iterator[AzureML]:
    """``python`` is the interpreter that every image has. Runs' events go to a ``queue`` of this name, if any. A folder that an
    earlier one left is taken up again."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        blobs, key = stack.enter_context(_azurite(folder / "azurite"))
        queues = stack.enter_context(_azurite(folder / "azurite", "queue"))[0] if queue else ""
        command = [sys.executable, "-m", "tests.emulators.azureml", "--folder", str(folder), "--python", python,
                   "--azurite", blobs, "--azurite-queues", queues, "--queue", queue]  # fmt: skip

        def start() -> tuple[subprocess.Popen[str], dict[str, Any]]:
            with (folder / "emulator.log").open("ab") as log:
                process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True,
                                           env={**os.environ, "REFIT_EMULATOR_ACCOUNT_KEY": key})  # fmt: skip
            assert process.stdout is not None, "started with a pipe"
            said = process.stdout.readline()
            assert said, (folder / "emulator.log").read_text()
            return process, json.loads(said)

        process, said = start()
        cloud = AzureML(
            arm_url=said["url"], names_url=said["names"], client_secret=said["client_secret"], account_key=key,
            ca_bundle=said["ca"], folder=folder, _start=start, _process=process,
            queues=queues, queue=queue,
        )  # fmt: skip
        try:
            yield cloud
        finally:
            cloud._process.terminate()
            cloud._process.wait()


@contextmanager
def _azurite(folder: Path, service: str = "blob") -> Iterator[tuple[str, str]]:
    """The address of one of Azurite's services and the account's key, which stays with the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "account.key"
    if not kept.exists():
        kept.write_text(base64.b64encode(secrets.token_bytes(64)).decode())
    key = kept.read_text()
    command = ["node", str(_AZURITE / service / "main.js"), f"--{service}Port", "0", "--location", str(folder),
               "--skipApiVersionCheck", "--disableTelemetry", "--silent"]  # fmt: skip
    with (folder / f"{service}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True,
                                   env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{key}"})  # fmt: skip
    try:
        assert process.stdout is not None, "started with a pipe"
        for line in process.stdout:
            if "successfully listens on " in line:
                yield line.rpartition(" ")[2].strip(), key
                return
        raise AssertionError((folder / f"{service}.log").read_text())
    finally:
        process.terminate()
        process.wait()
