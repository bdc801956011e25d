"""Owns opaque keyset cursors; refuses offsets."""

from __future__ import annotations

import base64
import binascii

from service.domain.errors import Refused


def cursor_of(key: str) -> str:
    """The cursor that continues after ``key``."""
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def before(cursor: str, sample: str = "") -> str:
    """The key in a cursor; ``Refused`` for anything that ``cursor_of`` did not make. A digit ``sample`` asks for digits."""
    try:
        key = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise Refused("reading the cursor: it is not one that this API gave out") from error
    if not key.isprintable() or (sample.isdigit() and not (key.isdigit() and len(key) < 19)):
        raise Refused("reading the cursor: it is not one that this API gave out")
    return key
