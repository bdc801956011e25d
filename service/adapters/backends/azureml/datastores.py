"""Owns objects in the workspace's datastores, and the operator's place among them; refuses any name that is not Refit's own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, ContainerClient

from service.adapters.backends.azureml.azure import Azure, calling
from service.adapters.backends.azureml.failures import Problem
from service.adapters.backends.azureml.names import datastore_uri, parts_of
from service.adapters.backends.cloud.outputs import Kept
from service.adapters.backends.steps.container.receipts import RECEIPT
from service.domain.errors import Refused

_VERSION = "2024-10-01"
_CONNECT_SECONDS, _READ_SECONDS, _UPLOADS_AT_ONCE = 5, 60, 4


class Datastores:
    """Implements the place of outputs: the operator's datastore below the operator's prefix. Reads go to whichever datastore
    a URI names."""

    def __init__(self, azure: Azure) -> None:
        self._azure = azure
        self._declared = azure.declared
        self._lock = threading.Lock()
        self._containers: dict[str, ContainerClient] = {}

    def calling(self, act: str) -> AbstractContextManager[None]:
        return calling(act)

    def uri(self, name: str) -> str:
        return datastore_uri(self._declared.datastore, f"{self._declared.prefix}/{name}")

    def has(self, uri: str) -> bool:
        try:
            with _asking("reading a blob"):
                return bool(self._blob(uri).exists())
        except Problem as problem:
            if problem.is_absent:
                return False
            raise

    def has_output(self, kept: Kept) -> bool:
        return self.has(f"{kept.uri}/{RECEIPT}")

    def listed(self, uri: str, most: int) -> dict[str, tuple[int, str]]:
        datastore, path = parts_of(uri)
        with _asking("listing blobs"):
            blobs = islice(self._container(datastore).list_blobs(name_starts_with=path), most)
            return {
                one.name.removeprefix(path): (int(one.size), str(one.etag))
                for one in blobs
                if one.name == path or one.name.startswith(f"{path}/")
            }

    def read(self, uri: str, most: int) -> bytes | None:
        try:
            with _asking("reading a blob"):
                return bytes(self._blob(uri).download_blob(offset=0, length=most + 1).readall())
        except Problem as problem:
            if problem.status == 416:  # an empty one has no first byte
                return b""
            if problem.is_absent:
                return None
            raise

    def write(self, name: str, content: bytes) -> str:
        uri = self.uri(name)
        with _asking("writing a blob"):
            self._blob(uri).upload_blob(content, overwrite=True)
        return uri

    def keep(self, name: str, content: Path) -> str:
        """Upload what is named by its content, unless it is there."""
        uri = self.uri(name)
        if not self.has(uri):
            with _asking("writing a blob"), content.open("rb") as file:
                self._blob(uri).upload_blob(file, overwrite=True, max_concurrency=_UPLOADS_AT_ONCE)
        return uri

    def _blob(self, uri: str) -> Any:
        datastore, path = parts_of(uri)
        return self._container(datastore).get_blob_client(path)

    def _container(self, name: str) -> ContainerClient:
        with self._lock:
            if name not in self._containers:
                self._containers[name] = self._opened(name)
            return self._containers[name]

    def _opened(self, name: str) -> ContainerClient:
        """As the datastore is registered in the workspace."""
        found = self._azure.manager("GET", f"/datastores/{name}", version=_VERSION)["properties"]
        if found.get("datastoreType") != "AzureBlob":
            raise Refused(
                f"opening the datastore {name}: it is of type {found.get('datastoreType')}; Refit takes AzureBlob"
            )
        account = str(found["accountName"])
        suffix = found.get("endpoint") or self._declared.places.storage_endpoint
        client = BlobServiceClient(
            f"{found.get('protocol') or 'https'}://{account}.blob.{suffix}",
            credential=self._credential(name, account),
            connection_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retry_total=1,
        )
        return client.get_container_client(str(found["containerName"]))

    def _credential(self, name: str, account: str) -> Any:
        if self._declared.storage_access == "identity":
            return self._azure.credential
        secrets = self._azure.manager("POST", f"/datastores/{name}/listSecrets", {}, version=_VERSION)
        if secrets.get("key"):
            return AzureNamedKeyCredential(account, str(secrets["key"]))
        if secrets.get("sasToken"):
            return AzureSasCredential(str(secrets["sasToken"]))
        raise Refused(f"opening the datastore {name}: it keeps no key; declare `storage_access: identity`")


@contextmanager
def _asking(operation: str) -> Iterator[None]:
    """What the blob service answers instead, in the form of every other problem."""
    try:
        yield
    except ResourceNotFoundError as error:
        raise Problem(operation, 404, "BlobNotFound") from error
    except HttpResponseError as error:
        code = str(getattr(error, "error_code", "") or "")
        said = str(error.message).splitlines()[0] if error.message else ""
        said += " The role Storage Blob Data Contributor has it." if error.status_code == 403 else ""
        raise Problem(operation, int(error.status_code or 0), code, said) from error
    except ClientAuthenticationError as error:
        raise Problem(operation, 401, "", str(error).splitlines()[0][:300]) from error
    except AzureError as error:
        raise Problem(operation, 0, "", type(error).__name__) from error
