"""Owns a definition whose uploads lie in the operator's bucket under the name of their content, whatever names the SDK gave them;
refuses to upload them.

The SDKs put data under names that the next commit uses again, and code under hashes of absolute paths and times.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from service.adapters.backends.sagemaker.native.compiler import Upload

_URI = re.compile(r"s3://[^\s\"',}\]]+")


@dataclass(frozen=True)
class Relocated:
    """``text`` is the definition's JSON: the same content gives the same bytes. ``objects`` are key → sha256 of the bytes to
    put there."""

    text: str
    objects: Mapping[str, str]


def relocated(definition: Mapping[str, Any], uploads: Iterable[Upload], bucket: str, prefix: str) -> Relocated:
    """``prefix`` is a folder in ``bucket``, without slashes at its ends."""
    known = {upload.uri: upload for upload in uploads}
    objects: dict[str, str] = {}

    def place(uri: str) -> str:
        if uri in known:
            key = f"{prefix}/{_content(known[uri])}/{posixpath.basename(uri)}"
            objects.setdefault(key, known[uri].sha256)
            return f"s3://{bucket}/{key}"
        start = uri.rstrip("/") + "/"
        below = {one.removeprefix(start): upload for one, upload in sorted(known.items()) if one.startswith(start)}
        if not below or start.count("/") < 4:  # a whole bucket is a place to write to
            return uri
        named = json.dumps([[name, _content(upload)] for name, upload in below.items()])
        folder = f"{prefix}/{hashlib.sha256(named.encode()).hexdigest()}"
        for name, upload in below.items():
            objects.setdefault(f"{folder}/{name}", upload.sha256)
        return f"s3://{bucket}/{folder}" + ("/" if uri.endswith("/") else "")

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(one) for key, one in value.items()}
        if isinstance(value, list):
            return [moved(one) for one in value]
        return _URI.sub(lambda found: place(found.group()), value) if isinstance(value, str) else value

    return Relocated(json.dumps(moved(definition)), objects)


def _content(upload: Upload) -> str:
    """An archive holds times: its members say what it is."""
    if upload.members is None:
        return upload.sha256
    return hashlib.sha256(json.dumps(sorted(upload.members.items())).encode()).hexdigest()
