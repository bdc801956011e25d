"""Owns one compile inside the sandbox: ``get_pipeline`` called by its signature, twice and at two different times, what it read
and what it uploaded; refuses to judge any of it. A script of its own: the standard library, then the repository's code.

``driver.py REQUEST ANSWER OBJECTS SHARED``: the request says where the checkout is and what to pass; the answer is JSON; what
was uploaded goes to OBJECTS; in SHARED lies what all drivers share.
"""

import hashlib
import importlib
import json
import os
import sys
import tarfile
from typing import Any

_OURS = [os.path.dirname(os.path.abspath(__file__)), sys.argv[4]]
sys.path[:0] = _OURS
from refit_module import (  # type: ignore[import-not-found] # noqa: E402
    Unusable,
    answer,
    arguments,
    imported,
    raise_loopback,
    twice,
)
from refit_sink import Sink  # type: ignore[import-not-found] # noqa: E402
from refit_watch import Watch  # type: ignore[import-not-found] # noqa: E402

del sys.path[:2]

_MOST_MEMBERS = 20_000


def compiled(request: dict[str, Any]) -> dict[str, Any]:
    objects = sys.argv[3]
    raise_loopback()
    sink = Sink(objects, request["account"], request["always"]["default_bucket"])
    os.environ["AWS_ENDPOINT_URL"] = sink.start()
    root = request["root"]
    os.chdir(root)
    quicken()  # outside the watch: hundreds of files that are not the repository's
    watch = Watch(root)

    def once() -> tuple[str, list[dict[str, Any]]]:
        sink.objects.clear()
        text = defined(request)
        return text, [
            {"bucket": bucket, "key": key, "sha256": digest, **described(os.path.join(objects, digest))}
            for (bucket, key), digest in sorted(sink.objects.items())
        ]

    (text, uploads), (again, uploads_again) = twice(root, once)
    return {"definition": text, "again": again, "uploads": uploads, "uploads_again": uploads_again,
            "refused": sorted(set(sink.refused)), **watch.answer()}  # fmt: skip


def quicken() -> None:
    """Import the SDK. It validates its configuration against its whole schema at each look, a tenth of a second, a hundred times
    in a compile: what was valid once is not asked about again."""
    importlib.import_module("sagemaker")
    jsonschema = importlib.import_module("jsonschema")
    really = jsonschema.validate
    valid: dict[tuple[int, str], Any] = {}

    def validate(instance: Any, schema: Any, *more: Any, **named: Any) -> None:
        asked = (id(schema), repr(instance))
        if asked not in valid:
            really(instance, schema, *more, **named)
            valid[asked] = schema  # held, so that no other schema gets its id

    jsonschema.validate = validate  # type: ignore[attr-defined]


def defined(request: dict[str, Any]) -> str:
    module = imported(request["path"], request["root"])
    make = getattr(module, "get_pipeline", None)
    if not callable(make):
        raise Unusable(f"{request['path']} has no function get_pipeline")
    pipeline = make(**arguments(make, request["with"], request["always"], request["if_needed"]))
    text: str = pipeline.definition()
    json.loads(text)
    return text


def described(path: str) -> dict[str, Any]:
    """Size and git's names of an upload; of an archive, those of its members."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        found: dict[str, Any] = {"size": size, "oids": oids(file.read())}
    if tarfile.is_tarfile(path):
        members: dict[str, list[str]] = {}
        with tarfile.open(path) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is not None and len(members) < _MOST_MEMBERS:
                    members[os.path.normpath(member.name)] = oids(content.read())
        found["members"] = members
    elif size <= 16_384 and path:
        with open(path, "rb") as file:
            found["text"] = file.read().decode("utf-8", "replace")
    return found


def oids(content: bytes) -> list[str]:
    """The names that git gives these bytes, in both of its formats."""
    blob = b"blob %d\0" % len(content) + content
    return [hashlib.sha1(blob).hexdigest(), hashlib.sha256(blob).hexdigest()]  # noqa: S324


if __name__ == "__main__":
    answer(compiled)
