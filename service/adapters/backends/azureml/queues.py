"""Owns the operator's Azure Storage queue over REST: what lies in it is taken, and taken away; refuses to know what a message
says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote
from xml.etree import ElementTree

from service.adapters.backends.azureml.azure import Azure, calling
from service.adapters.backends.azureml.failures import Problem
from service.domain.errors import Refused, Retry

_AT_ONCE = 32
"""Azure's own bound."""
_HIDDEN_SECONDS = 60
"""From when messages are taken until they are to be seen again, if nobody takes them away."""
_MESSAGES = "Microsoft.Storage/storageAccounts/queueServices/queues/messages"
_ROLE = "Storage Queue Data Message Processor"
_NOBODY = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Message:
    """``receipt`` is what it can be taken away with; ``text`` is whatever somebody put there, at most 64 KB."""

    id: str
    receipt: str
    text: str


class EventsQueue:
    """At ``url``, as declared."""

    def __init__(self, azure: Azure, url: str) -> None:
        self._azure = azure
        self.url = url

    def take(self) -> Sequence[Message]:
        """At most 32 that are there now; nobody else sees them for a while. ``Problem`` for what Azure answers instead."""
        with _naming_the_role():
            query = f"numofmessages={_AT_ONCE}&visibilitytimeout={_HIDDEN_SECONDS}"
            answer = self._azure.storage("GET", f"{self.url}/messages?{query}", "taking messages from a queue")
        return _read(answer)

    def remove(self, message: Message) -> None:
        """No problem if somebody else did, or if it fails: then it comes again. ``Problem`` if it is not allowed."""
        with _naming_the_role():
            try:
                self._delete(message.id, message.receipt)
            except Problem as problem:
                if problem.status in (401, 403):
                    raise

    def examine(self) -> Sequence[str]:
        """What would keep the service from hearing, each with the next step; no message is taken."""
        try:
            with calling(f"looking at the queue {self.url}", starts=True):
                self._azure.storage("GET", f"{self.url}/messages?peekonly=true", "peeking into a queue")
        except (Refused, Retry) as problem:
            cause = problem.__cause__
            if isinstance(cause, Problem) and cause.is_absent:
                return [f"there is no queue {self.url}; make it, or declare another `events_queue`"]
            if isinstance(cause, Problem) and cause.is_denied:
                return [self._denied("read")]
            return [problem.reason]
        try:
            self._delete(_NOBODY, "AgAAAAMAAAAAAAAA")
        except Problem as problem:
            if problem.is_denied:
                return [self._denied("process/action")]
        return []

    def _delete(self, id: str, receipt: str) -> None:
        where = f"{self.url}/messages/{quote(id, safe='')}?popreceipt={quote(receipt, safe='')}"
        self._azure.storage("DELETE", where, "removing a message from a queue")

    def _denied(self, action: str) -> str:
        return (
            f"Azure does not allow {_MESSAGES}/{action} on the queue {self.url}; assign the role {_ROLE} to the service's "
            "identity (docs/azureml.md)"
        )


@contextmanager
def _naming_the_role() -> Iterator[None]:
    """Storage does not say which action it forbids."""
    try:
        yield
    except Problem as problem:
        if problem.is_denied:
            problem.said += f" The role {_ROLE} has it."
        raise


def _read(answer: bytes) -> Sequence[Message]:
    try:
        rows = ElementTree.fromstring(answer).iter("QueueMessage")  # noqa: S314 - Azure's own; it keeps entities out of it
    except ElementTree.ParseError as error:
        raise Problem("taking messages from a queue", 0, "", "what answered was not Azure") from error
    return [
        Message(row.findtext("MessageId", ""), row.findtext("PopReceipt", ""), row.findtext("MessageText", ""))
        for row in rows
    ]
