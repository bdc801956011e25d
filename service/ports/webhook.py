"""Owns the port to whoever turns raw webhook requests into deliveries; refuses to store them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from service.domain.delivery import Delivery

Headers = Sequence[tuple[bytes, bytes]]
"""Header names in lower case and their values, repeats included."""


class Rejected(Exception):
    """The request is answered with this HTTP status and problem; nothing is stored."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail


class WebhookReader(Protocol):
    def screen(self, headers: Headers) -> None:
        """Raises ``Rejected`` for what no body could mend, so that its body need not be taken."""
        ...

    def __call__(self, headers: Headers, body: bytes) -> Delivery:
        """The verified delivery; raises ``Rejected``."""
        ...
