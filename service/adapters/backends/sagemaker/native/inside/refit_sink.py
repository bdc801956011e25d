"""Owns the loopback stand-in for AWS that a compile talks to: S3 that keeps what is uploaded, one made-up identity; refuses
every other operation by name. Runs in the SDK's environment, so the standard library is all that it imports.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MOST_BYTES = 2 * 1024**3
"""What one compile may upload, in bytes; the folder that it goes to is on the service's own disk."""
_CHUNK = 1 << 20
_IDENTITY = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::{0}:role/refit</Arn><UserId>refit</UserId>"
    "<Account>{0}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
)


class Sink(ThreadingHTTPServer):
    """``objects`` is (bucket, key) → sha256, the bytes lie in ``folder`` under that name; ``refused`` names what was asked
    of AWS and not answered."""

    daemon_threads = True

    def __init__(self, folder: str, account: str, bucket: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.account = account
        self.bucket = bucket
        self.objects: dict[tuple[str, str], str] = {}
        self.refused: list[str] = []
        self.parts: dict[str, dict[int, str]] = {}
        self.left = MOST_BYTES
        self.lock = threading.Lock()

    def start(self) -> str:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_HEAD(self) -> None:
        bucket, key, _ = self._place()
        known = self.server.objects.get((bucket, key)) if key else "bucket"
        headers = {"x-amz-bucket-region": "us-east-1"}
        if key and known:
            headers |= {"ETag": f'"{known}"', "x-refit-length": "1"}
        self._answer(200 if known else 404, b"", headers)

    def do_GET(self) -> None:
        bucket, key, query = self._place()
        if not bucket:
            return self._buckets()
        if not key and "location" in query:
            return self._xml("<LocationConstraint></LocationConstraint>")
        if not key:
            return self._listing(bucket, query.get("prefix", [""])[0])
        known = self.server.objects.get((bucket, key))
        if known is None:
            return self._error(404, "NoSuchKey", f"s3://{bucket}/{key} was not uploaded by this compile")
        with open(os.path.join(self.server.folder, known), "rb") as file:
            return self._answer(200, file.read(), {"ETag": f'"{known}"'})

    def do_PUT(self) -> None:
        bucket, key, query = self._place()
        if not key:
            self._body()
            return self._answer(200, b"")
        if "x-amz-copy-source" in self.headers:
            return self._copy(bucket, key)
        digest = self._store()
        if digest is None:
            return self._error(400, "EntityTooLarge", f"a compile may upload {MOST_BYTES} bytes")
        with self.server.lock:
            if "partNumber" in query:
                self.server.parts.setdefault(query["uploadId"][0], {})[int(query["partNumber"][0])] = digest
            else:
                self.server.objects[bucket, key] = digest
        return self._answer(200, b"", {"ETag": f'"{digest}"'})

    def do_POST(self) -> None:
        bucket, key, query = self._place()
        if key and "uploads" in query:
            id = hashlib.sha256(f"{bucket}/{key}".encode()).hexdigest()
            with self.server.lock:
                self.server.parts[id] = {}
            return self._xml(f"<InitiateMultipartUploadResult><Bucket>{bucket}</Bucket><UploadId>{id}</UploadId>"
                             "</InitiateMultipartUploadResult>")  # fmt: skip
        if key and "uploadId" in query:
            self._body()
            return self._joined(bucket, key, query["uploadId"][0])
        body = self._body()
        if b"Action=GetCallerIdentity" in body:
            return self._xml(_IDENTITY.format(self.server.account))
        action = re.search(rb"Action=(\w+)", body)
        what = self.headers.get("X-Amz-Target") or (action.group(1).decode() if action else self.path)
        with self.server.lock:
            self.server.refused.append(what)
        return self._error(403, "AccessDenied", f"a pipeline is compiled without AWS: {what} is not answered")

    def do_DELETE(self) -> None:
        bucket, key, _ = self._place()
        self._body()
        with self.server.lock:
            self.server.objects.pop((bucket, key), None)
        self._answer(204, b"")

    def _place(self) -> tuple[str, str, dict[str, list[str]]]:
        """Bucket and key, in the path style that an address of numbers makes clients use."""
        at = urlsplit(self.path)
        bucket, _, key = unquote(at.path).lstrip("/").partition("/")
        return bucket, key, parse_qs(at.query, keep_blank_values=True)

    def _copy(self, bucket: str, key: str) -> None:
        self._body()
        from_bucket, _, from_key = unquote(self.headers["x-amz-copy-source"]).lstrip("/").partition("/")
        digest = self.server.objects.get((from_bucket, from_key))
        if digest is None:
            return self._error(404, "NoSuchKey", from_key)
        with self.server.lock:
            self.server.objects[bucket, key] = digest
        return self._xml(f'<CopyObjectResult><ETag>"{digest}"</ETag></CopyObjectResult>')

    def _joined(self, bucket: str, key: str, id: str) -> None:
        with self.server.lock:
            parts = [digest for _, digest in sorted(self.server.parts.pop(id, {}).items())]
        whole, path = hashlib.sha256(), os.path.join(self.server.folder, f".{id}")
        with open(path, "wb") as to:
            for digest in parts:
                with open(os.path.join(self.server.folder, digest), "rb") as part:
                    while block := part.read(_CHUNK):
                        whole.update(block)
                        to.write(block)
        os.replace(path, os.path.join(self.server.folder, whole.hexdigest()))
        with self.server.lock:
            self.server.objects[bucket, key] = whole.hexdigest()
        return self._xml(f"<CompleteMultipartUploadResult><Key></Key><ETag>{whole.hexdigest()}</ETag>"
                         "</CompleteMultipartUploadResult>")  # fmt: skip

    def _buckets(self) -> None:
        rows = f"<Bucket><Name>{self.server.bucket}</Name><CreationDate>2020-01-01T00:00:00Z</CreationDate></Bucket>"
        self._xml(
            f"<ListAllMyBucketsResult><Owner><ID>refit</ID></Owner><Buckets>{rows}</Buckets></ListAllMyBucketsResult>"
        )

    def _listing(self, bucket: str, prefix: str) -> None:
        keys = sorted(key for at, key in self.server.objects if at == bucket and key.startswith(prefix))
        rows = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
        return self._xml(f"<ListBucketResult><KeyCount>{len(keys)}</KeyCount><IsTruncated>false</IsTruncated>{rows}"
                         "</ListBucketResult>")  # fmt: skip

    def _blocks(self) -> Iterator[bytes]:
        """The body in pieces, whether its length was said or it comes in chunks."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length", 0))
        while left > 0 and (block := self.rfile.read(min(left, _CHUNK))):
            left -= len(block)
            yield block

    def _body(self) -> bytes:
        return b"".join(self._blocks())

    def _store(self) -> str | None:
        digest, path = hashlib.sha256(), os.path.join(self.server.folder, f".{threading.get_ident()}")
        with open(path, "wb") as file:
            for block in self._blocks():
                with self.server.lock:
                    self.server.left -= len(block)
                    enough = self.server.left < 0
                if enough:
                    self.close_connection = True
                    return None
                digest.update(block)
                file.write(block)
        os.replace(path, os.path.join(self.server.folder, digest.hexdigest()))
        return digest.hexdigest()

    def _xml(self, text: str) -> None:
        self._answer(200, f'<?xml version="1.0"?>{text}'.encode(), {"Content-Type": "application/xml"})

    def _error(self, status: int, code: str, message: str) -> None:
        plain = message.replace("&", "&amp;").replace("<", "&lt;")
        text = f"<ErrorResponse><Error><Code>{code}</Code><Message>{plain}</Message></Error></ErrorResponse>"
        if (self.headers.get("X-Amz-Target") or "").strip():
            self._answer(status, json.dumps({"__type": code, "message": message}).encode())
        else:
            self._answer(status, text.encode(), {"Content-Type": "application/xml"})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
