"""Owns calls to Azure: Resource Manager, run history, the data catalogue, storage, with this process's own identity; refuses to
know what is asked.

Credentials are the process's own, as azure-identity finds them; nothing here shows one.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from typing import Any

import httpx
from azure.core.exceptions import AzureError, ClientAuthenticationError
from azure.identity import DefaultAzureCredential

from service.adapters.backends.azureml.declared import Declared
from service.adapters.backends.azureml.failures import Problem, translated

API_VERSION = "2024-01-01-preview"
"""Of jobs: the one that the SDK sends pipelines with."""
_STORAGE, _STORAGE_VERSION = "https://storage.azure.com", "2021-12-02"
"""Whom tokens for storage are for, in every cloud, and the version of its API."""
_TRIES, _PAUSE_SECONDS, _LONGEST_PAUSE = 2, 0.5, 2.0
_MOST_PAGES = 50


@contextmanager
def calling(act: str, *, starts: bool = False) -> Iterator[None]:
    """Calls to Azure within ``act``, whose problems become ``Retry`` or ``Refused``."""
    try:
        yield
    except Problem as problem:
        raise translated(act, problem, starts=starts) from problem


class Azure:
    """One workspace, its client made when first needed and shared between threads."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self._lock = threading.Lock()
        self._credential: DefaultAzureCredential | None = None
        self._http: httpx.Client | None = None
        self._history = ""

    # identity ---------------------------------------------------------------------------------------------------------

    @property
    def credential(self) -> DefaultAzureCredential:
        with self._lock:
            if self._credential is None:
                # the identities that a server has, unless AZURE_TOKEN_CREDENTIALS names others: a person's own, as of the
                # command line, would be a surprise
                others = None if os.environ.get("AZURE_TOKEN_CREDENTIALS") else True
                self._credential = DefaultAzureCredential(
                    authority=self.declared.places.active_directory,
                    disable_instance_discovery=self.declared.endpoints is not None,
                    exclude_shared_token_cache_credential=others,
                    exclude_visual_studio_code_credential=others,
                    exclude_cli_credential=others,
                    exclude_powershell_credential=others,
                    exclude_developer_cli_credential=others,
                    exclude_broker_credential=others,
                )
            return self._credential

    def token(self, resource: str) -> tuple[str, int]:
        """A token for a resource, and when it expires (seconds of the epoch). ``Problem`` 401 if there is none to be had."""
        try:
            made = self.credential.get_token(_scope(resource))
        except ClientAuthenticationError as error:  # "unavailable" too: nobody is who could ask
            raise Problem("a token", 401, "", str(error).splitlines()[0][:300]) from error
        except AzureError as error:
            raise Problem("a token", 0, "", type(error).__name__) from error
        return made.token, made.expires_on

    def tokens(self) -> Mapping[str, tuple[str, int]]:
        """Scope → token, for the SDK's process, which has no identity of its own."""
        places = self.declared.places
        return {_scope(one): self.token(one) for one in (places.resource_manager, places.aml_resource_id)}

    # calls ------------------------------------------------------------------------------------------------------------

    def manager(self, method: str, path: str, body: object = None, version: str = API_VERSION) -> Any:
        """Of Resource Manager, below the workspace."""
        place = self.declared.places.resource_manager
        url = f"{place.rstrip('/')}{self.declared.scope}{path}{'&' if '?' in path else '?'}api-version={version}"
        return self._asked(method, url, f"{method} {path}", body)

    def history(self, method: str, path: str, body: object = None, service: str = "history/v1.0") -> Any:
        """Of run history, or another ``service`` of the workspace's own."""
        if not self._history:
            self._history = self._discovered()
        url = path if path.startswith(f"{self._history}/") else f"{self._history}/{service}{self.declared.scope}{path}"
        return self._asked(method, url, f"{method} {path}", body)

    def pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        """The rows of a list of run history."""
        following: str | None = path
        for _ in range(_MOST_PAGES):
            if not following:
                return
            page = self.history("GET", following)
            yield from page.get("value") or ()
            following = page.get("nextLink")

    def storage(self, method: str, url: str, operation: str) -> bytes:
        """What a URL of a storage account answers to this process's identity."""
        token, _ = self.token(_STORAGE)
        headers = {
            "Authorization": f"Bearer {token}",
            "x-ms-version": _STORAGE_VERSION,
            "x-ms-date": formatdate(usegmt=True),
        }
        return self._sent(method, url, operation, headers=headers).content

    def content(self, url: str, begin: int, end: int) -> bytes:
        """Bytes from ``begin`` to before ``end`` of what a signed URL names, without an identity; ``b""`` beyond its end."""
        answer = self._sent("GET", url, "a log", headers={"Range": f"bytes={begin}-{end - 1}"})
        return b"" if answer.status_code == 416 else answer.content

    def size(self, url: str) -> int:
        """In bytes, of what a signed URL names. Azure's storage knows no range that counts from the end."""
        answer = self._sent("GET", url, "a log", headers={"Range": "bytes=0-0"})
        return int(answer.headers.get("Content-Range", "/0").rpartition("/")[2]) if answer.status_code == 206 else 0

    def _discovered(self) -> str:
        """Where the workspace's region has its services."""
        workspace = self.manager("GET", "")
        found = self._sent("GET", str(workspace["properties"]["discoveryUrl"]), "GET discovery").json()
        return str(found["api"]).rstrip("/")

    def _asked(self, method: str, url: str, operation: str, body: object) -> Any:
        """With a token for Resource Manager, which the workspace's own services take too."""
        token, _ = self.token(self.declared.places.resource_manager)
        answer = self._sent(method, url, operation, json=body, headers={"Authorization": f"Bearer {token}"})
        try:
            return answer.json() if answer.content else None
        except ValueError as error:  # a proxy's page with a friendly status
            raise Problem(operation, 0, "", "what answered was not Azure") from error

    def _sent(self, method: str, url: str, operation: str, **more: Any) -> httpx.Response:
        """Reads are repeated once; what changes something is not, since its answer may be all that was lost."""
        for rest in range((_TRIES if method == "GET" else 1) - 1, -1, -1):
            try:
                answer = self._client.request(
                    method, url, **{name: one for name, one in more.items() if one is not None}
                )
                problem = _problem(operation, answer)
            except httpx.HTTPError as error:
                problem = Problem(operation, 0, "", type(error).__name__)
            if problem is None:
                return answer
            if not rest or not problem.is_transient:
                raise problem
            time.sleep(min(problem.after or _PAUSE_SECONDS, _LONGEST_PAUSE))
        raise AssertionError("the last try returns or raises")

    @property
    def _client(self) -> httpx.Client:
        with self._lock:
            if self._http is None:
                self._http = httpx.Client(
                    timeout=httpx.Timeout(30.0, connect=5.0), limits=httpx.Limits(max_connections=20)
                )
            return self._http


def _scope(resource: str) -> str:
    return f"{resource.rstrip('/')}/.default"


def _problem(operation: str, answer: httpx.Response) -> Problem | None:
    if answer.is_success or answer.status_code == 416:
        return None
    code, said = answer.headers.get("x-ms-error-code", ""), answer.reason_phrase
    try:
        error = answer.json()["error"]
        code, said = str(error.get("code", "")), str(error.get("message", said))
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # storage's errors are XML; a proxy's are anything
    try:
        after = float(answer.headers.get("Retry-After", ""))
    except ValueError:
        after = None
    return Problem(operation, answer.status_code, code, said, after)
