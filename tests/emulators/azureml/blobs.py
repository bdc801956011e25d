"""Owns the emulator's own reading and writing of blobs, and the signatures that let others in; refuses to hold a blob:
Azurite does."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import ssl
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx

ACCOUNT = "refittests"
ZONE = "core.refit.test"
"""The part of a host name that a cloud has for its storage: Azure's client wants ``core`` there, and nobody serves ``.test``."""
HOST, QUEUE_HOST = f"{ACCOUNT}.blob.{ZONE}", f"{ACCOUNT}.queue.{ZONE}"
_VERSION = "2021-12-02"


class Blobs:
    """Azurite at ``endpoint``, as the platform itself uses it. Missing blobs are ``KeyError``."""

    def __init__(self, endpoint: str, key: str, trusted: ssl.SSLContext | bool = True) -> None:
        self.endpoint = endpoint
        self.key = key
        self._client = httpx.Client(timeout=60, trust_env=False, verify=trusted)
        self._containers: set[str] = set()
        self._lock = threading.Lock()

    def container(self, name: str) -> None:
        """There is one of this name."""
        with self._lock:
            if name not in self._containers:
                answer = self._client.put(self._url(name, "", restype="container"))
                assert answer.status_code in (201, 409), answer.text
                self._containers.add(name)

    def put(self, container: str, name: str, content: bytes) -> None:
        self.container(container)
        answer = self._client.put(self._url(container, name), content=content, headers={"x-ms-blob-type": "BlockBlob"})
        assert answer.status_code == 201, answer.text

    def get(self, container: str, name: str) -> bytes:
        answer = self._client.get(self._url(container, name))
        if answer.status_code != 200:
            raise KeyError(f"{container}/{name}")
        return answer.content

    def names(self, container: str, prefix: str) -> list[str]:
        """Every blob below a prefix."""
        found, marker = [], ""
        while True:
            answer = self._client.get(self._url(container, "", restype="container", comp="list", prefix=prefix,
                                                marker=marker))  # fmt: skip
            if answer.status_code == 404:
                return []
            assert answer.status_code == 200, answer.text
            page = ElementTree.fromstring(answer.content)
            found += [str(one.text) for one in page.findall("./Blobs/Blob/Name")]
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return found

    def download(self, container: str, path: str, folder: Path) -> Path:
        """One blob into ``folder`` under its own name, or everything below a path: what a mount would show there."""
        plain = path.strip("/")
        names = self.names(container, plain)
        if plain in names and not path.endswith("/"):
            target = folder / plain.rpartition("/")[2]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.get(container, plain))
            return target
        below = [name for name in names if name.startswith(f"{plain}/" if plain else "")]
        if not below:
            raise KeyError(f"{container}/{path}")
        for name in below:
            target = folder / name.removeprefix(plain).lstrip("/")
            if not target.resolve().is_relative_to(folder.resolve()):
                raise KeyError(f"{container}/{name} leaves its folder")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.get(container, name))
        return folder

    def upload(self, source: Path, container: str, path: str) -> None:
        """A file, or every file below a folder."""
        if source.is_file():
            self.put(container, path.strip("/"), source.read_bytes())
            return
        for one in sorted(source.rglob("*")):
            if one.is_file():
                self.put(container, f"{path.strip('/')}/{one.relative_to(source).as_posix()}", one.read_bytes())

    # signatures -------------------------------------------------------------------------------------------------------

    def signature(self, container: str, permissions: str, blob: str = "", minutes: int = 60) -> str:
        """A service SAS for one container, or one blob of it."""
        end = _time(minutes)
        place = f"/blob/{ACCOUNT}/{container}" + (f"/{blob}" if blob else "")
        kind = "b" if blob else "c"
        words = [permissions, "", end, place, "", "", "", _VERSION, kind, *[""] * 7]
        return urlencode({"sv": _VERSION, "se": end, "sr": kind, "sp": permissions, "sig": self._signed(words)})

    def account_signature(self, permissions: str = "rwdlacup", minutes: int = 600) -> str:
        """An account SAS for everything in blobs and queues."""
        end = _time(minutes)
        words = [ACCOUNT, permissions, "bq", "sco", "", end, "", "https,http", _VERSION, "", ""]
        return urlencode({"sv": _VERSION, "ss": "bq", "srt": "sco", "sp": permissions, "se": end, "spr": "https,http",
                          "sig": self._signed(words)})  # fmt: skip

    def _signed(self, words: list[str]) -> str:
        made = hmac.new(base64.b64decode(self.key), "\n".join(words).encode(), hashlib.sha256)
        return base64.b64encode(made.digest()).decode()

    def _url(self, container: str, name: str, **query: str) -> str:
        more = f"&{urlencode(query)}" if query else ""
        return f"{self.endpoint}/{ACCOUNT}/{container}/{quote(name)}".rstrip("/") + f"?{self.account_signature()}{more}"


def _time(minutes: int) -> str:
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
