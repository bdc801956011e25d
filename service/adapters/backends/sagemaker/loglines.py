"""Owns a job's lines in CloudWatch → numbered lines of their streams; refuses to copy a log."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from service.adapters.backends.sagemaker.aws import Cloud, calling, is_absent
from service.adapters.backends.steps.container.receipts import told
from service.ports.backend import LogLine

_PAGE = 1_000
_TAIL = 300
_MOST_KEPT = 512


class Logs:
    """CloudWatch numbers nothing: lines are counted from the first. Where a page ended is remembered, so that whoever follows a
    long log does not read it from the start each time; forgetting it costs time only."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._lock = threading.Lock()
        self._pages: OrderedDict[str, list[tuple[int, str]]] = OrderedDict()

    def lines(self, group: str, job: str, after: int, limit: int) -> list[LogLine]:
        """At most ``limit`` lines whose number is greater than ``after``."""
        if limit <= 0:
            return []
        with calling(f"reading the log of {job}"):
            stream = self._stream(group, job)
            return self._read(group, stream, after, limit) if stream else []

    def tail(self, group: str, job: str) -> list[tuple[str, str]]:
        """The last lines: stream and text."""
        with calling(f"reading the log of {job}"):
            stream = self._stream(group, job)
            if not stream:
                return []
            answer = self._cloud.logs.get_log_events(
                logGroupName=group, logStreamName=stream, limit=_TAIL, startFromHead=False
            )
            return [told(event["message"]) for event in answer["events"]]

    def _stream(self, group: str, job: str) -> str:
        """A job of one machine has one; ``""`` before its first line."""
        try:
            answer = self._cloud.logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/", limit=1)
        except ClientError as error:
            if is_absent(error):
                return ""
            raise
        streams: Sequence[Mapping[str, Any]] = answer["logStreams"]
        return str(streams[0]["logStreamName"]) if streams else ""

    def _read(self, group: str, stream: str, after: int, limit: int) -> list[LogLine]:
        number, token = self._before(stream, after)
        found: list[LogLine] = []
        while len(found) < limit:
            more = {"nextToken": token} if token else {}
            answer = self._cloud.logs.get_log_events(
                logGroupName=group, logStreamName=stream, limit=_PAGE, startFromHead=True, **more
            )
            for event in answer["events"]:
                number += 1
                if number > after and len(found) < limit:
                    found.append(_line(number, event))
            if not answer["events"]:
                break
            token = answer["nextForwardToken"]
            self._remember(stream, number, token)
        return found

    def _before(self, stream: str, after: int) -> tuple[int, str]:
        """The last known end of a page that is not after this line."""
        with self._lock:
            ends = self._pages.get(stream, [])
            return max((one for one in ends if one[0] <= after), default=(0, ""))

    def _remember(self, stream: str, number: int, token: str) -> None:
        with self._lock:
            ends = self._pages.setdefault(stream, [])
            self._pages.move_to_end(stream)
            if all(number != one[0] for one in ends):
                ends.append((number, token))
                del ends[:-64]
            while len(self._pages) > _MOST_KEPT:
                self._pages.popitem(last=False)


def _line(number: int, event: Mapping[str, Any]) -> LogLine:
    stream, text = told(event["message"])
    return LogLine(number, datetime.fromtimestamp(event["timestamp"] / 1000, UTC), stream, text)
