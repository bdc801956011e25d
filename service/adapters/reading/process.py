"""Owns the process that parses untrusted content: one request in, its facts out, under limits; refuses any other work.

Started by ``isolation`` as ``python -m service.adapters.reading.process``; frames are a four-byte length and JSON.
"""

from __future__ import annotations

import base64
import gc
import json
import resource
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

from service.adapters.reading.documents import read_document
from service.adapters.reading.notebook import read_notebook
from service.adapters.reading.python_source import read_python
from service.adapters.reading.requirements import read_requirements
from service.adapters.reading.text import read_dvc, read_link
from service.adapters.reading.values import read_json, read_toml, read_yaml
from service.domain.fact_codec import to_json
from service.domain.facts import Fact, Kind

READERS: dict[Kind, Callable[[bytes], Fact]] = {
    Kind.PYTHON: read_python,
    Kind.NOTEBOOK: read_notebook,
    Kind.YAML: read_yaml,
    Kind.JSON: read_json,
    Kind.TOML: read_toml,
    Kind.REQUIREMENTS: read_requirements,
    Kind.LINK: read_link,
    Kind.DVC: read_dvc,
}
DOCUMENT = "document"
MEMORY_BYTES = 1_500 * 1024 * 1024
CPU_SECONDS = 10
_GARBAGE = 100_000
"""New objects before cycles are looked for: a syntax tree has none, and goes with its last reference."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """One fact, several, or one YAML document as plain values."""
    if "blobs" in request:
        return {"facts": [answer(one) for one in request["blobs"]]}
    content = base64.b64decode(request["content"])
    if request["kind"] == DOCUMENT:
        return read_document(content)
    return to_json(READERS[Kind(request["kind"])](content))


def read_frame(stream: BinaryIO) -> dict[str, Any] | None:
    head = stream.read(4)
    if len(head) < 4:
        return None
    return dict(json.loads(stream.read(struct.unpack(">I", head)[0])))


def frame(value: dict[str, Any]) -> bytes:
    body = json.dumps(value, ensure_ascii=True).encode()
    return struct.pack(">I", len(body)) + body


def serve() -> None:
    """Until stdin ends. The CPU limit is renewed for each request, so that only one alone can exhaust it."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    gc.set_threshold(_GARBAGE)
    while (request := read_frame(sys.stdin.buffer)) is not None:
        soft = int(time.process_time()) + CPU_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
        sys.stdout.buffer.write(frame(answer(request)))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
