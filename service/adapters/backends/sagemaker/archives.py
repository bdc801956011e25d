"""Owns the code of a SageMaker job, in the form that each kind of job takes; refuses to upload."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from typing import Any

from service.adapters.backends.cloud.archives import container_files, zipped

MODULES = (
    "service.adapters.backends.sagemaker.container.entry", "service.adapters.backends.sagemaker.container.places",
)  # fmt: skip


def processing_code(spec: Mapping[str, Any]) -> bytes:
    """A zip that Python runs as it is."""
    return zipped(spec, MODULES)


def training_code(spec: Mapping[str, Any]) -> bytes:
    """A source archive as SageMaker's training toolkit unpacks it; its entry is ``entry.py``. Not compressed: the same on
    every machine, and small."""
    made = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=made, compresslevel=0, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for name, content in container_files("entry.py", spec, MODULES).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()
