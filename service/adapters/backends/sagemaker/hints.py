"""Owns EventBridge's events about pipelines, from the operator's SQS queue, as hints that an execution moved; refuses to believe
what they say: whoever is told looks for himself."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from service.adapters.backends.sagemaker.aws import Cloud, calling
from service.adapters.backends.sagemaker.following import Executions

_ARN = re.compile(r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:\d{12}:pipeline/[A-Za-z0-9-]+/execution/[a-z0-9]+")
_AT_ONCE = 10
_LONGEST_WAIT = 20
"""SQS's own bounds."""


class Hints:
    """Reads one queue. Anything may have been put there, twice or never."""

    def __init__(self, cloud: Cloud, executions: Executions) -> None:
        self._cloud = cloud
        self._executions = executions

    def heard(self, seconds: float) -> list[str]:
        """Beginnings of the handles of what moved; waits for it so long, at most 20 s. The next look at each is a new one."""
        queue = self._cloud.declared.events_queue
        with calling("waiting for events"):
            answer = self._cloud.sqs.receive_message(
                QueueUrl=queue, MaxNumberOfMessages=_AT_ONCE, WaitTimeSeconds=max(0, min(int(seconds), _LONGEST_WAIT))
            )
            messages = answer.get("Messages", [])
            moved = dict.fromkeys(arn for message in messages if (arn := _execution_of(message)))
            for arn in moved:
                self._executions.forget(arn)
            if messages:
                gone = [{"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(messages)]
                self._cloud.sqs.delete_message_batch(QueueUrl=queue, Entries=gone)
        return [f"{arn}#" for arn in moved]


def _execution_of(message: Mapping[str, Any]) -> str:
    """The execution that an event names; ``""`` if it is none of ours to know."""
    try:
        arn = json.loads(message["Body"])["detail"]["pipelineExecutionArn"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return arn if isinstance(arn, str) and _ARN.fullmatch(arn) else ""
