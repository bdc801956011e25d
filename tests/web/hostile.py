"""Owns the hostile requests that the webhook endpoint must survive, each with its answer; refuses to send them."""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.web.served import head

SECRET = b"It's a Secret to Everybody"
MB = 1024 * 1024
PATH = "/webhooks/github"
ABSENT = "dead" * 10
CLOSED = 0


@dataclass(frozen=True)
class World:
    """What the requests speak of: a commit that main and large have (and main was planned at), a stranger's repository, a
    place that nobody may call."""

    head: str
    decoy: str
    decoy_head: str
    sha256_head: str
    listener: str
    marker: str


@dataclass(frozen=True)
class Row:
    """``answers`` that are right; deliveries that are ``stored`` (each without an execution, unless it ``runs``); ``pause``
    between the parts of the request; ``megabytes`` that the service may grow while it answers."""

    name: str
    answers: frozenset[int]
    parts: Callable[[World], Iterable[bytes]]
    stored: int = 0
    runs: bool = False
    pause: float = 0.0
    megabytes: int = 24
    before: tuple[Callable[[World], bytes], ...] = field(default=())


def sign(body: bytes, secret: bytes = SECRET, kind: str = "sha256") -> str:
    return f"{kind}=" + hmac.new(secret, body, kind).hexdigest()


def request(body: bytes, *more: tuple[str, str], **changes: str | None) -> bytes:
    """A webhook as GitHub sends it, with headers changed (``None``: left out) and added."""
    headers: dict[str, str | None] = {
        "Content-Length": str(len(body)), "Content-Type": "application/json", "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(uuid.uuid4()), "X-Hub-Signature-256": sign(body),
    } | {name.replace("_", "-"): value for name, value in changes.items()}  # fmt: skip
    given = [(name, value) for name, value in headers.items() if value is not None]
    return head("POST", PATH, [*given, *more]) + body


def payload(w: World, **changes: Any) -> bytes:
    """A push to a branch that starts nothing, of a commit that is there."""
    return json.dumps(
        {"ref": "refs/heads/side", "before": "0" * 40, "after": w.head, "repository": {"full_name": "acme/diamonds"},
         "sender": {"login": "ada"}, "pusher": {"name": "ada"}, **changes}
    ).encode()  # fmt: skip


def pull(w: World, action: str = "opened", **changes: Any) -> bytes:
    fork = {"full_name": "mallory/diamonds"}
    request = {"number": 7, "title": "A title", "user": {"login": "mallory"}, "author_association": "NONE",
               "head": {"sha": w.head, "ref": "main", "repo": fork}, "base": {"sha": w.head, "ref": "main"}}  # fmt: skip
    pull_request = request | changes
    return json.dumps({"action": action, "number": 7, "pull_request": pull_request,
                       "repository": {"full_name": "acme/diamonds"}}).encode()  # fmt: skip


def _signed(change: Callable[[str], str | None]) -> Callable[[World], Iterable[bytes]]:
    def parts(w: World) -> Iterable[bytes]:
        body = payload(w)
        return [request(body, X_Hub_Signature_256=change(sign(body)))]

    return parts


def _headers(*more: tuple[str, str], **changes: str | None) -> Callable[[World], Iterable[bytes]]:
    return lambda w: [request(payload(w), *more, **changes)]


def _body(make: Callable[[World], bytes], **changes: str | None) -> Callable[[World], Iterable[bytes]]:
    return lambda w: [request(make(w), **changes)]


def _pushed(**changes: Any) -> Callable[[World], Iterable[bytes]]:
    return _body(lambda w: payload(w, **changes))


def _text(change: Callable[[bytes], bytes]) -> Callable[[World], Iterable[bytes]]:
    return _body(lambda w: change(payload(w)))


def _nothing_read(length: int) -> Callable[[World], Iterable[bytes]]:
    """Declared, signed by form, and never sent in full."""
    return lambda w: [request(b"x" * 1000, Content_Length=str(length), X_Hub_Signature_256="sha256=" + "0" * 64)]


def _chunked(_w: World) -> Iterator[bytes]:
    yield request(b"", Content_Length=None, Transfer_Encoding="chunked", X_Hub_Signature_256="sha256=" + "0" * 64)
    for _ in range(30):
        yield b"100000\r\n" + b"x" * MB + b"\r\n"
    yield b"0\r\n\r\n"


def _both_lengths(w: World) -> Iterator[bytes]:
    body = payload(w)
    chunk = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    yield request(b"", ("Transfer-Encoding", "chunked"), Content_Length=str(len(chunk)), X_Hub_Signature_256=sign(body))
    yield chunk


def _slow_head(w: World) -> Iterator[bytes]:
    for byte in request(payload(w)):
        yield bytes([byte])


def _slow_body(w: World) -> Iterator[bytes]:
    whole = request(payload(w))
    start = whole.index(b"\r\n\r\n") + 4
    yield whole[:start]
    for byte in whole[start:]:
        yield bytes([byte])


def _large_head(size: int) -> Callable[[World], Iterable[bytes]]:
    def parts(w: World) -> Iterator[bytes]:
        start, _, rest = request(payload(w)).partition(b"\r\n")
        yield start + b"\r\nX-Padding: "
        for _ in range(size // 65536):
            yield b"x" * 65536
        yield b"\r\n" + rest

    return parts


def _form(*fields: str) -> Callable[[World], Iterable[bytes]]:
    return _body(lambda _w: "&".join(fields).encode(), Content_Type="application/x-www-form-urlencoded")


def _twice(other: Callable[[World], bytes]) -> tuple[Callable[[World], Iterable[bytes]], Callable[[World], bytes]]:
    guid = str(uuid.uuid4())
    return (
        lambda w: [request(other(w), X_GitHub_Delivery=guid)],
        lambda w: request(payload(w), X_GitHub_Delivery=guid),
    )


def _large_push(w: World) -> Iterable[bytes]:
    commit = {"id": w.head, "message": "m" * 1000, "added": [], "removed": [], "modified": ["f" * 200] * 40}
    body = payload(w, ref="refs/heads/large", commits=[commit] * 2048)
    assert 18 * MB < len(body) < 24 * MB
    return [request(body)]


def _cloned_from(url: Callable[[World], str], after: Callable[[World], str]) -> Callable[[World], Iterable[bytes]]:
    def parts(w: World) -> Iterable[bytes]:
        where = dict.fromkeys(("clone_url", "git_url", "ssh_url", "svn_url", "html_url", "url", "mirror_url"), url(w))
        return [request(payload(w, ref="refs/heads/main", after=after(w),
                                repository={"full_name": "acme/diamonds", **where}))]  # fmt: skip

    return parts


def _answers(*statuses: int) -> frozenset[int]:
    return frozenset(statuses)


REFUSED, BAD, NO_TYPE, LARGE, LATE = _answers(401), _answers(400), _answers(415), _answers(413), _answers(408)
HEAD, TAKEN = _answers(431, 400, CLOSED), _answers(202)
AGAIN, FIRST = _twice(payload)
OTHER_AGAIN, OTHER_FIRST = _twice(lambda w: payload(w, ref="refs/heads/main", after=ABSENT))

ROWS = (
    # who is it
    Row("no signature", REFUSED, _signed(lambda _: None)),
    Row("wrong secret", REFUSED, _body(lambda w: payload(w), X_Hub_Signature_256=sign(b"{}", b"guess"))),
    Row("SHA-1 only", REFUSED, lambda w: [request(payload(w), ("X-Hub-Signature", sign(payload(w), kind="sha1")),
                                                  X_Hub_Signature_256=None)]),
    Row("a hex digit less", REFUSED, _signed(lambda right: right[:-1])),
    Row("a hex digit more", REFUSED, _signed(lambda right: right + "0")),
    Row("sha512=", REFUSED, lambda w: [request(payload(w), X_Hub_Signature_256=sign(payload(w), kind="sha512"))]),
    Row("empty digest", REFUSED, _signed(lambda _: "sha256=")),
    Row("non-ASCII signature", REFUSED, _signed(lambda right: right[:-1] + "é")),
    Row("two signature headers", REFUSED, lambda w: [request(payload(w), ("X-Hub-Signature-256", sign(payload(w))))]),
    Row("another body's signature", REFUSED, lambda w: [request(payload(w), X_Hub_Signature_256=sign(pull(w)))]),
    Row("26 MB unsigned", REFUSED | LARGE, lambda w: [request(b"x" * 26 * MB, X_Hub_Signature_256=None)]),
    # what is it
    Row("no event", BAD, _headers(X_GitHub_Event=None)),
    Row("no delivery id", BAD, _headers(X_GitHub_Delivery=None)),
    Row("odd delivery id", BAD, _headers(X_GitHub_Delivery="../../etc/passwd")),
    Row("9,000-character delivery id", BAD, _headers(X_GitHub_Delivery="a" * 9000)),
    Row("empty body", BAD, _body(lambda _: b"")),
    Row("not JSON", BAD, _body(lambda _: b"<xml/>")),
    Row("top level not an object", BAD, _body(lambda _: b"[]")),
    Row("100,000 nested arrays", BAD, _body(lambda _: b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
    Row("NaN", BAD, _text(lambda text: text[:-1] + b',"size":NaN}')),
    Row("5,000-digit integer", BAD, _text(lambda text: text[:-1] + b',"size":' + b"9" * 5000 + b"}")),
    Row("invalid UTF-8", BAD, _text(lambda text: text.replace(b"ada", b"a\xffa"))),
    Row("UTF-16", BAD, _text(lambda text: text.decode().encode("utf-16"))),
    Row("form with two payloads", BAD, _form("payload=%7B%7D", "payload=%7B%7D")),
    Row("form without payload", BAD, _form("body=%7B%7D")),
    Row("Content-Length with Transfer-Encoding", BAD, _both_lengths),
    # in which form
    Row("text/plain", NO_TYPE, _headers(Content_Type="text/plain")),
    Row("no type", NO_TYPE, _headers(Content_Type=None)),
    Row("multipart", NO_TYPE, _headers(Content_Type="multipart/form-data; boundary=x")),
    Row("gzip", NO_TYPE, _headers(Content_Encoding="gzip")),
    Row("brotli", NO_TYPE, _headers(Content_Encoding="br")),
    Row("identity", NO_TYPE, _headers(Content_Encoding="identity")),
    # how much
    Row("26 MB signed", LARGE, _body(lambda _: b"x" * 26 * MB)),
    Row("30 GB declared", LARGE, _nothing_read(30 * 1024 * MB)),
    Row("30 MB chunked", LARGE, _chunked, megabytes=64),
    Row("slow head", LATE, _slow_head, pause=0.1),
    Row("slow body", LATE, _slow_body, pause=0.1),
    Row("200 KB of header", HEAD, _large_head(200 * 1024)),
    Row("100 MB of header", HEAD, _large_head(100 * MB)),
    # what it says
    Row("duplicate keys", BAD, _text(lambda text: text[:-1] + b',"ref":"refs/heads/main"}')),
    Row("2^70", BAD, _body(lambda w: pull(w, number=2**70), X_GitHub_Event="pull_request")),
    Row("1e400", BAD, _text(lambda text: text[:-1] + b',"size":1e400}')),
    Row("lone surrogate", BAD, _pushed(ref="refs/heads/\ud800")),
    Row("NUL", BAD, _pushed(ref="refs/heads/a\0b")),
    Row("ref with newline", BAD, _pushed(ref="refs/heads/main\nrefs/heads/other")),
    Row("--upload-pack ref", BAD, _pushed(ref="--upload-pack=touch /tmp/x")),
    Row("non-hex SHA", BAD, _pushed(after="g" * 40)),
    Row("../../x repository", BAD, _pushed(repository={"full_name": "../../x"})),
    Row("event and body mismatch", BAD, _body(payload, X_GitHub_Event="pull_request")),
    # taken, and harmless
    Row("unknown event", TAKEN, _headers(X_GitHub_Event="brand_new_thing"), stored=1),
    Row("unknown action", TAKEN, _body(lambda w: pull(w, "sang"), X_GitHub_Event="pull_request"), stored=1),
    Row("same GUID again", TAKEN, AGAIN, before=(FIRST,)),
    Row("same GUID with another body", TAKEN, OTHER_AGAIN, before=(OTHER_FIRST,)),
    Row("20 MB push", TAKEN, _large_push, stored=1, runs=True, megabytes=150),
    Row("SHA-256 repository", TAKEN, lambda w: [request(payload(w, after=w.sha256_head,
                                                                repository={"full_name": "acme/sha256"}))], stored=1),
    Row("absent commit", TAKEN, _pushed(ref="refs/heads/main", after=ABSENT), stored=1),
    Row("clone_url file://", TAKEN, _cloned_from(lambda w: w.decoy, lambda w: w.decoy_head), stored=1),
    Row("clone_url of a metadata service", TAKEN, _cloned_from(lambda w: w.listener, lambda _: ABSENT), stored=1),
    Row("clone_url ext::", TAKEN, _cloned_from(lambda w: f"ext::sh -c 'touch {w.marker}'", lambda _: ABSENT), stored=1),
    Row("unknown repository", TAKEN, _pushed(ref="refs/heads/main", repository={"full_name": "acme/unknown"}), stored=1),
    Row("deletion", TAKEN, _pushed(deleted=True, after="0" * 40), stored=1),
    Row("deleted fork", TAKEN, _body(lambda w: pull(w, head={"sha": w.head, "ref": "main", "repo": None}),
                                     X_GitHub_Event="pull_request"), stored=1),
    Row("a command by a stranger", TAKEN, _body(
        lambda w: json.dumps({"action": "created", "comment": {"body": "/ok-to-test", "author_association": "NONE"},
                              "issue": {"number": 7}, "repository": {"full_name": "acme/diamonds"}}).encode(),
        X_GitHub_Event="issue_comment"), stored=1),
)  # fmt: skip
