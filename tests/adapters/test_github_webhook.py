"""A webhook's envelope, sans-IO: who signed it, in which form it comes, and whatever else may be inside."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.adapters.github.webhook import GitHubWebhooks, verify
from service.domain.delivery import Push
from service.domain.names import shown
from service.ports.webhook import Rejected
from tests.deliveries import FORM, GUID, OLD, OLDER, ONE, PULL, PUSH, READ, SECRET, headers, read, refused, signature

# who signed it ---------------------------------------------------------------------------------------------------------


def test_the_published_vector_verifies() -> None:
    """https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries"""
    digest = b"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    verify((b"It's a Secret to Everybody",), [(b"x-hub-signature-256", digest)], b"Hello, World!")
    with pytest.raises(Rejected):
        verify((b"It's a Secret to Everybody",), [(b"x-hub-signature-256", digest)], b"Hello, World?")


@pytest.mark.parametrize("secret", [SECRET, OLD])
def test_the_current_and_the_previous_secret_are_both_good(secret: bytes) -> None:
    body = json.dumps(PUSH).encode()
    given = [*headers(body)[:-1], (b"x-hub-signature-256", signature(body, secret))]
    assert READ(given, body).guid == GUID


@pytest.mark.parametrize(
    "values",
    [
        [],
        [signature(b"{}", OLDER)],
        [signature(b"{}")[:-1]],
        [signature(b"{}") + b"0"],
        [b"sha256="],
        [b""],
        [signature(b"{}").removeprefix(b"sha256=")],
        [signature(b"{}").replace(b"sha256", b"sha512")],
        [signature(b"{}").replace(b"sha256", b"sha1")],
        [signature(b"{}").upper()],
        [signature(b"{ }")],
        [b"sha256=" + "é".encode() * 32],
        [b"sha256=" + b"\xff" * 64],
        [signature(b"{}"), signature(b"{}")],
        [signature(b"{}") + b" "],
        [signature(b"{}") + b", " + signature(b"{}")],
        [b"sha256=" + b"0" * 64],
    ],
)
def test_any_other_signature_is_401(values: list[bytes]) -> None:
    given = [*headers(b"{}")[:-1], *((b"x-hub-signature-256", value) for value in values)]
    assert refused(given, b"{}") == 401


def test_sha1_alone_is_no_signature() -> None:
    old = b"sha1=" + hmac.new(SECRET, b"{}", "sha1").hexdigest().encode()
    assert refused([*headers(b"{}")[:-1], (b"x-hub-signature", old)], b"{}") == 401


def test_without_a_secret_nobody_is_believed() -> None:
    assert refused(headers(b"{}"), b"{}", GitHubWebhooks(())) == 401


def test_the_signature_is_judged_before_anything_that_a_stranger_wrote() -> None:
    """Else an answer other than 401 would tell a stranger how far he got."""
    unsigned = [(b"content-type", b"text/plain"), (b"x-github-event", b"../"), (b"content-encoding", b"gzip")]
    assert refused(unsigned, b"[" * 10_000) == 401


# in which form ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"application/json", b"application/json; charset=utf-8", b"Application/JSON ;x=y"])
def test_json_is_json_with_any_parameters(kind: bytes) -> None:
    body = json.dumps(PUSH).encode()
    assert isinstance(READ(headers(body, kind=kind), body).event, Push)


@pytest.mark.parametrize("encode", [quote, quote_plus])
def test_a_form_means_what_its_payload_means(encode: Callable[..., str]) -> None:
    payload = PUSH | {"head_commit": {"message": "größer & schöner + 100 % = 💎"}}
    body = urlencode({"payload": json.dumps(payload, ensure_ascii=False)}, quote_via=encode).encode()
    assert READ(headers(body, kind=FORM), body) == read(payload), "signed are the bytes of the form"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload",
        b"payload=",
        b"other=%7B%7D",
        b"payload=%7B%7D&payload=%7B%7D",
        b"payload=%7B%22a%22:%22%FF%22%7D",
        b"payload=%7B%22a%22:%22%ED%A0%80%22%7D",
        "payload={}&a=é".encode(),
        b"payload=%7B%7D&a",
        b"payload=%7B%7D&" + b"&".join(b"a=b" for _ in range(20)),
        b"{}",
        b"payload=%5B%5D",
    ],
)
def test_any_other_form_is_400(body: bytes) -> None:
    assert refused(headers(body, b"ping", FORM), body) == 400


@pytest.mark.parametrize(
    "kinds",
    [
        [],
        [b""],
        [b"text/plain"],
        [b"application/jsonp"],
        [b"text/json"],
        [b"multipart/form-data; boundary=x"],
        [b"application/json", b"application/json"],
        [b"application/json", FORM],
    ],
)
def test_any_other_type_is_415(kinds: list[bytes]) -> None:
    given = [*headers(b"{}")[1:], *((b"content-type", kind) for kind in kinds)]
    assert refused(given, b"{}") == 415


@pytest.mark.parametrize("coding", [b"gzip", b"identity", b"", b"br, gzip"])
def test_nothing_is_ever_inflated(coding: bytes) -> None:
    assert refused([*headers(b"{}"), (b"content-encoding", coding)], b"{}") == 415


def test_the_body_may_have_25_mib_and_not_a_byte_more() -> None:
    body = json.dumps(PUSH).encode()
    body += b" " * (25 * 1024 * 1024 - len(body))
    assert isinstance(READ(headers(body), body).event, Push)
    assert refused(headers(b""), body + b" ") == 413, "and its signature is not even computed"


@pytest.mark.parametrize("name", [b"x-github-event", b"x-github-delivery"])
@pytest.mark.parametrize(
    "values", [[], [b""], [b"a" * 9_000], [b"push\n"], [b"../../etc"], [b"pu\xffsh"], [b"pu sh"], [b"push", b"push"]]
)
def test_a_header_is_there_once_and_plain(name: bytes, values: list[bytes]) -> None:
    body = json.dumps(PUSH).encode()
    given = [pair for pair in headers(body) if pair[0] != name] + [(name, value) for value in values]
    assert refused(given, body) == 400


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"<xml/>",
        b"[]",
        b"null",
        b'"push"',
        b"1",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":-1e999}',
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":-' + b"9" * 401 + b"}",
        b'{"a":1,"a":1}',
        b'{"b":[{"a":1,"\\u0061":2}]}',
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        json.dumps(PUSH).encode("utf-16"),
        json.dumps(PUSH).encode("utf-32"),
        b"\xef\xbb\xbf{}",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":"\n"}',
        b"{} \0",
        b'{"repository":[]}',
        b'{"repository":{}}',
        b'{"action":1}',
        b'{"action":"a\\nb"}',
    ],
)
@pytest.mark.parametrize("event", [b"push", b"ping"])
def test_what_is_not_plain_json_is_400(body: bytes, event: bytes) -> None:
    assert refused(headers(body, event), body) == 400


def test_numbers_that_a_real_payload_may_have_are_fine() -> None:
    assert isinstance(read(PUSH | {"size": 2**70, "ratio": 1.5e300, "long": 10**399}).event, Push)


# anything at all -------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", "\0", ONE, "acme/x"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@st.composite
def bent(draw: st.DrawFn) -> Any:
    """A real payload with one value, at any depth, replaced or taken away."""
    payload = json.loads(json.dumps(draw(st.sampled_from([PUSH, PULL]))))
    place = payload
    while True:
        key = draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key] or draw(st.booleans()):
            break
        place = place[key]
    if draw(st.booleans()):
        place[key] = draw(JSON)
    else:
        del place[key]
    return payload


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from([b"push", b"pull_request", b"ping"]),
    st.sampled_from([b"application/json", FORM]),
    st.binary(max_size=60) | st.builds(lambda value: json.dumps(value).encode(), JSON | bent()),
)
def test_whatever_comes_is_a_delivery_that_can_be_stored_or_a_refusal(event: bytes, kind: bytes, body: bytes) -> None:
    if kind == FORM and body.startswith(b"{"):
        body = b"payload=" + quote(body).encode()
    try:
        delivery = READ(headers(body, event, kind), body)
    except Rejected:
        assert refused(headers(body, event, kind), body) == 400
        return
    texts = [getattr(delivery.event, field.name) for field in fields(delivery.event)]
    for text in (delivery.action, *(text for text in texts if isinstance(text, str))):
        assert shown(text) == text
