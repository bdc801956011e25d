"""Owns the SDK environments that tests share, kept between runs beside the tests' own; refuses to build one twice."""

from __future__ import annotations

from pathlib import Path

import uv

from service.adapters.backends.sagemaker.sdk import Sdks

SHELF = Path(__file__).resolve().parents[1] / ".venv" / "sdk"


def sdks() -> Sdks:
    return Sdks(SHELF, uv=uv.find_uv_bin())
