"""Owns calls to AWS: clients, and which failure is which: later, or never, with the next step; refuses to know what is asked.

Credentials are the process's own, as boto3 finds them; nothing here reads or shows one.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from service.adapters.backends.cloud.outputs import Kept
from service.adapters.backends.sagemaker.declared import Declared
from service.adapters.backends.steps.container.receipts import RECEIPT
from service.domain.errors import Refused, Retry

_THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "ThrottledException", "TooManyRequestsException", "RequestLimitExceeded",
     "SlowDown", "RequestThrottled", "ProvisionedThroughputExceededException"}
)  # fmt: skip
_EXPIRED = frozenset(
    {"ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException", "RequestExpired",
     "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken"}
)  # fmt: skip
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403", "Forbidden"})
_LIMITED = frozenset({"ResourceLimitExceeded", "ServiceQuotaExceededException", "LimitExceededException"})
_ABSENT = frozenset({"404", "NoSuchKey", "ResourceNotFound", "ResourceNotFoundException"})
_MAKING = threading.Lock()
_SOON_SECONDS, _OPERATOR_SECONDS = 5.0, 60.0


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def is_absent(error: ClientError) -> bool:
    return code_of(error) in _ABSENT


@contextmanager
def calling(act: str, *, starts: bool = False) -> Iterator[None]:
    """Calls to AWS within ``act``. What AWS fails at later raises ``Retry``. What only a person can mend is ``Refused`` where
    something ``starts``; where something runs already it must not be given up for that, and is asked again."""
    try:
        yield
    except ClientError as error:
        raise _translated(act, error, starts) from error
    except S3UploadFailedError as error:
        answer = error.__context__  # boto3 raises it in place of what AWS answered
        if not isinstance(answer, ClientError):
            raise
        raise _translated(act, answer, starts) from error
    except NoCredentialsError as error:
        raise Retry(
            f"{act}: there are no AWS credentials; give the service a role, or AWS_PROFILE", _OPERATOR_SECONDS
        ) from error
    except BotoCoreError as error:
        raise Retry(f"{act}: AWS cannot be reached: {error}", _SOON_SECONDS) from error


def _translated(act: str, error: ClientError, starts: bool) -> Retry | Refused:
    code, operation = code_of(error), error.operation_name
    said = str(error.response.get("Error", {}).get("Message", ""))[:500]
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _THROTTLED or status == 429:
        return Retry(f"{act}: AWS asks for patience ({operation}: {code})", _SOON_SECONDS)
    if status >= 500:
        return Retry(f"{act}: AWS failed ({operation}: {code})", _SOON_SECONDS)
    if code in _EXPIRED:
        return Retry(f"{act}: the AWS credentials are expired or wrong ({code}); renew them", _OPERATOR_SECONDS)
    if code in DENIED:
        reason = f"{act}: AWS does not allow {operation}: {said}; add it to the policy of the service's role"
    elif code in _LIMITED:
        reason = f"{act}: a quota of the AWS account is used up ({operation}: {said}); ask AWS to raise it, or run less at once"
    else:
        reason = f"{act}: AWS refuses {operation}: {code}: {said}"
    return Refused(reason) if starts else Retry(reason, _OPERATOR_SECONDS)


@cache
def _session() -> Any:
    """One for the process: reading AWS's description of SageMaker takes a second."""
    return boto3.session.Session()


class Cloud:
    """Clients of one region, made when first needed and shared between threads."""

    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self._clients: dict[str, Any] = {}

    @property
    def sagemaker(self) -> Any:
        return self._client("sagemaker")

    @property
    def logs(self) -> Any:
        return self._client("logs")

    @property
    def sqs(self) -> Any:
        return self._client("sqs")

    @property
    def s3(self) -> Any:
        return self._client("s3")

    def _client(self, name: str) -> Any:
        with _MAKING:  # a session is not made for several threads
            if name not in self._clients:
                self._clients[name] = _session().client(
                    name,
                    region_name=self.declared.region,
                    endpoint_url=self.declared.endpoint_url,
                    config=Config(
                        retries={"mode": "standard", "total_max_attempts": 2},
                        connect_timeout=5,
                        read_timeout=30,
                        max_pool_connections=20,
                        s3={"addressing_style": "path"} if self.declared.endpoint_url else None,
                    ),
                )
            return self._clients[name]


class Bucket:
    """Implements the place of outputs: the operator's bucket, below the operator's prefix."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.name = cloud.declared.bucket
        self.prefix = cloud.declared.prefix

    def calling(self, act: str) -> AbstractContextManager[None]:
        return calling(act)

    def uri(self, name: str) -> str:
        return f"s3://{self.name}/{self.prefix}/{name}"

    def has(self, uri: str) -> bool:
        bucket, key = split(uri)
        try:
            self._cloud.s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if is_absent(error):
                return False
            raise
        return True

    def has_output(self, kept: Kept) -> bool:
        """By the object that is there if the output is."""
        return self.has(kept.uri if is_archive(kept) else f"{kept.uri}/{RECEIPT}")

    def read(self, uri: str, most: int) -> bytes | None:
        bucket, key = split(uri)
        try:
            return bytes(self._cloud.s3.get_object(Bucket=bucket, Key=key)["Body"].read(most + 1))
        except ClientError as error:
            if is_absent(error):
                return None
            raise

    def listed(self, uri: str, most: int) -> dict[str, tuple[int, str]]:
        """Of an object and of all that lies below it, at most ``most``: name below it → size and ETag."""
        bucket, key = split(uri.rstrip("/"))
        pages = self._cloud.s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=key, PaginationConfig={"MaxItems": most}
        )
        rows = (row for page in pages for row in page.get("Contents", ()))
        return {
            row["Key"].removeprefix(key): (int(row["Size"]), str(row["ETag"]))
            for row in rows
            if row["Key"] == key or row["Key"].startswith(f"{key}/")
        }

    def write(self, name: str, content: bytes) -> str:
        self._cloud.s3.put_object(Bucket=self.name, Key=f"{self.prefix}/{name}", Body=content)
        return self.uri(name)

    def keep(self, name: str, content: bytes | Path) -> str:
        """Upload what is named by its content, unless it is there."""
        uri = self.uri(name)
        if not self.has(uri):
            if isinstance(content, Path):
                self._cloud.s3.upload_file(str(content), self.name, f"{self.prefix}/{name}")
            else:
                self.write(name, content)
        return uri


def split(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def is_archive(kept: Kept) -> bool:
    """Whether a training job left it."""
    return kept.uri.endswith("/model.tar.gz")
