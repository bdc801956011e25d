"""Owns GitHub's webhook requests → deliveries, sans-IO: signature, form, limits, meaning; refuses network and storage.

Facts and hostile cases: https://docs.github.com/webhooks and tests/adapters/test_github_webhook.py.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from service.domain.delivery import Closed, Delivery, Event, Nothing, PullRequest, Push
from service.domain.names import is_sha, is_zero, shown
from service.ports.webhook import Headers, Rejected

BODY_LIMIT = 25 * 1024 * 1024
"""Bytes: GitHub's own cap."""
_DIGITS = 400
_TEXT = 1_000
_SIGNATURE = re.compile(rb"sha256=[0-9a-f]{64}")
_GUID = re.compile(r"[A-Za-z0-9-]{8,64}")
_EVENT = re.compile(r"[a-z0-9_]{1,64}")
_REPOSITORY = re.compile(r"[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]{1,100}")  # managed users have an underscore
_REF = re.compile(r"refs/(?!.*(?:\.\.|//|/\.|@\{|\.lock/|\.lock$|[./]$))[^\x00-\x20\x7f~^:?*\[\\]{1,1000}")
"""The names that ``git check-ref-format`` allows, up to a length."""
_NEW_HEADS = frozenset({"opened", "reopened", "synchronize", "ready_for_review"})


class GitHubWebhooks:
    """Implements the webhook port. ``secrets``: the current one, then the previous one while rotating."""

    def __init__(self, secrets: Sequence[bytes], now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._secrets = tuple(secrets)
        self._now = now

    def screen(self, headers: Headers) -> None:
        _signature(headers)

    def __call__(self, headers: Headers, body: bytes) -> Delivery:
        if len(body) > BODY_LIMIT:
            raise Rejected(413, "Body too large", f"A webhook has at most {BODY_LIMIT} bytes.")
        verify(self._secrets, headers, body)
        guid, name = _single(headers, b"x-github-delivery", _GUID), _single(headers, b"x-github-event", _EVENT)
        payload = _payload(headers, body)
        action = _text(payload.get("action", ""), "action")
        return Delivery(guid, name, action, _event(name, action, payload), self._now())


def verify(secrets: Sequence[bytes], headers: Headers, body: bytes) -> None:
    """Compare HMAC-SHA256 of the raw bytes, in constant time, with exactly one signature header; else 401."""
    given = _signature(headers)
    expected = [b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode() for secret in secrets]
    if not any([hmac.compare_digest(given, one) for one in expected]):  # a list: every secret is compared
        raise Rejected(401, "Signature wrong", "X-Hub-Signature-256 does not match the body under a configured secret.")


def _signature(headers: Headers) -> bytes:
    given = [value for name, value in headers if name == b"x-hub-signature-256"]
    if len(given) != 1 or not _SIGNATURE.fullmatch(given[0]):
        raise Rejected(
            401, "Signature missing", "Exactly one X-Hub-Signature-256 header is needed: sha256=<64 hex digits>."
        )
    return given[0]


def _single(headers: Headers, name: bytes, form: re.Pattern[str]) -> str:
    values = [value for key, value in headers if key == name]
    text = values[0].decode("latin-1") if len(values) == 1 else ""
    if not form.fullmatch(text):
        raise Rejected(400, "Header missing or odd", f"{name.decode()} must be there once and match {form.pattern}.")
    return text


def _payload(headers: Headers, body: bytes) -> dict[str, Any]:
    if any(key == b"content-encoding" for key, _ in headers):
        raise Rejected(415, "Encoding refused", "A webhook's body is never compressed.")
    types = [value for key, value in headers if key == b"content-type"]
    kind = types[0].partition(b";")[0].strip().lower() if len(types) == 1 else b""
    if kind == b"application/x-www-form-urlencoded":
        body = _form(body)
    elif kind != b"application/json":
        raise Rejected(415, "Content type refused", "Send application/json or application/x-www-form-urlencoded.")
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_no_repeats,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            parse_float=_number,
        )
    except (ValueError, RecursionError) as error:
        raise Rejected(
            400, "Body unreadable", f"The payload is not acceptable JSON: {type(error).__name__}."
        ) from error
    if not isinstance(value, dict):
        _bad("the payload is not an object")
    return value


def _form(body: bytes) -> bytes:
    try:
        fields = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=10, errors="strict"
        )
    except ValueError as error:
        raise Rejected(400, "Body unreadable", "The form is malformed.") from error
    payloads = [value for key, value in fields if key == "payload"]
    if len(payloads) != 1:
        _bad("the form must have exactly one payload")
    return payloads[0].encode("utf-8", "surrogatepass")


def _no_repeats(found: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(found)
    if len(value) != len(found):
        raise ValueError("a key is repeated")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _integer(text: str) -> int:
    if len(text) > _DIGITS:
        raise ValueError("an integer is too long")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is out of range")
    return value


def _event(name: str, action: str, payload: dict[str, Any]) -> Event:
    repository = _repository(payload) if payload.get("repository") is not None else ""
    match name:
        case "push":
            return _push(repository or _bad("a push names its repository"), payload)
        case "pull_request":
            return _pull_request(repository or _bad("a pull request names its repository"), action, payload)
        case "ping":
            return Nothing(repository, "GitHub's ping: the webhook is set up")
        case _:
            return Nothing(repository, f"Refit has no use for {name} events")


def _push(repository: str, payload: dict[str, Any]) -> Event:
    ref = _text(payload.get("ref"), "ref", limit=1_100)
    if not _REF.fullmatch(ref):
        _bad("ref is not a full ref name")
    before, after = _sha(payload.get("before"), "before"), _sha(payload.get("after"), "after")
    if ref.startswith("refs/tags/"):
        return Nothing(repository, f"tags start nothing ({shown(ref)})")
    if not ref.startswith("refs/heads/"):
        return Nothing(repository, f"{shown(ref)} is not a branch")
    if is_zero(after) or payload.get("deleted") is True:
        return Closed(repository, ref, f"{shown(ref)} was deleted")
    head = payload.get("head_commit")
    message = _loose(head.get("message")) if isinstance(head, dict) else ""
    default = _loose(_mapping(payload["repository"], "repository").get("default_branch"))
    forced = payload.get("forced") is True
    return Push(repository, ref, before, after, forced, _who(payload), message, default)


def _pull_request(repository: str, action: str, payload: dict[str, Any]) -> Event:
    pull = _mapping(payload.get("pull_request"), "pull_request")
    number = pull.get("number", payload.get("number"))
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 2**31:
        _bad("the pull request has no usable number")
    if action == "closed":
        return Closed(repository, f"refs/pull/{number}/head", f"pull request {number} was closed")
    if action not in _NEW_HEADS:
        return Nothing(repository, f"pull_request action {shown(action)} brings no new commit")
    head, base = _mapping(pull.get("head"), "head"), _mapping(pull.get("base"), "base")
    source = head.get("repo")
    full_name = source.get("full_name") if isinstance(source, dict) else None
    user = pull.get("user")
    return PullRequest(
        repository=repository,
        number=number,
        action=action,
        head=_sha(head.get("sha"), "head.sha"),
        head_ref=_text(head.get("ref"), "head.ref"),
        base=_sha(base.get("sha"), "base.sha"),
        base_ref=_text(base.get("ref"), "base.ref"),
        author=_loose(user.get("login")) if isinstance(user, dict) else "",
        association=_loose(pull.get("author_association")),
        from_fork=not isinstance(full_name, str) or full_name.lower() != repository.lower(),
        title=_loose(pull.get("title")),
        draft=pull.get("draft") is True,
    )


def _repository(payload: dict[str, Any]) -> str:
    name = _text(_mapping(payload["repository"], "repository").get("full_name"), "repository.full_name")
    if not _REPOSITORY.fullmatch(name) or name.endswith(("/.", "/..")):
        _bad("repository.full_name is not owner/name")
    return name


def _who(payload: dict[str, Any]) -> str:
    for key, inner in (("sender", "login"), ("pusher", "name")):
        person = payload.get(key)
        if isinstance(person, dict) and person.get(inner):
            return _loose(person[inner])
    return ""


def _mapping(value: object, where: str) -> dict[str, Any]:
    return value if isinstance(value, dict) else _bad(f"{where} is not an object")


def _sha(value: object, where: str) -> str:
    return value if isinstance(value, str) and is_sha(value) else _bad(f"{where} is not a full object name")


def _text(value: object, where: str, limit: int = _TEXT) -> str:
    """A string that is acted upon: refused rather than repaired."""
    if not isinstance(value, str) or len(value) > limit or shown(value) != value:
        _bad(f"{where} is not a plain string")
    return value


def _loose(value: object) -> str:
    """A string that is only shown: cut and made safe."""
    return shown(value[:_TEXT]) if isinstance(value, str) else ""


def _bad(what: str) -> NoReturn:
    raise Rejected(400, "Payload refused", f"The payload cannot be used: {what}.")
