"""Owns what every cloud's names are made of: tokens, digests, slugs; refuses to let a repository's words through as they are."""

from __future__ import annotations

import hashlib
import re

from service.domain.errors import Refused

_TOKEN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,250}")


def token(text: str) -> str:
    """The token, if it is one."""
    if not _TOKEN.fullmatch(text):
        raise Refused(f"running a step: {text!r} is not a token")
    return text


def digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()


def slug(text: str) -> str:
    """Letters, digits and single hyphens; never empty."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "x"
