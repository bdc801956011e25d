"""Owns the content key of a step: its parts, their canonical hash and the difference of two; refuses to collect them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from service.domain.names import short, shown


class PartKind(StrEnum):
    """What a part of a key stands for; the words are shown to users and stored, so they never change."""

    ALGORITHM = "algorithm"
    DECLARATION = "declaration"
    SOURCE = "source"
    PARAMETER = "parameter"
    ENVIRONMENT = "environment"
    PATH = "path"
    INPUT = "input"
    UPSTREAM = "upstream"
    UNCERTAIN = "uncertain"

    __hash__ = str.__hash__  # an enumeration's own is written in Python


class Part(NamedTuple):
    """One ingredient: ``source`` / ``src/train.py`` / its semantic hash. ``value`` is a hash or a canonical text."""

    kind: PartKind
    subject: str
    value: str


Parts = tuple[Part, ...]
_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))


def rows_of(parts: Iterable[Part]) -> list[tuple[str, str, str]]:
    """Parts as text."""
    return [
        (part.kind._value_, part.subject, part.value) for part in parts
    ]  # ``value`` itself takes five times as long


def text_of(parts: Iterable[Part]) -> str:
    """The parts in canonical order, as JSON."""
    rows = rows_of(parts)
    if any(one >= other for one, other in pairwise(rows)):
        rows = sorted(set(rows))
    return _ENCODER.encode(rows)


def key_of(parts: Iterable[Part]) -> str:
    """SHA-256 (hex) of the parts in canonical order; equal keys mean that a result can be reused."""
    return hash_of(text_of(parts))


def hash_of(text: str) -> str:
    """The key of what ``text_of`` gave."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a step has its decision: in words (``detail``) and as evidence (which key part, old and new value).

    ``kind`` is a part kind, or one of ``first``, ``failed-before``, ``lost``, ``unchanged``, ``in-flight``, ``forced``;
    of native steps also ``whole`` (the whole pipeline runs) and ``branch`` (its condition took the other one);
    ``vendor`` where the backend took an equal job of its own instead of running the step.
    """

    kind: str
    subject: str
    detail: str
    old: str | None = None
    new: str | None = None


_WORDS = {
    PartKind.ALGORITHM: "the step key algorithm",
    PartKind.DECLARATION: "the declaration in refit.yaml",
    PartKind.SOURCE: "source",
    PartKind.PARAMETER: "parameter",
    PartKind.ENVIRONMENT: "environment file",
    PartKind.PATH: "file",
    PartKind.INPUT: "input",
    PartKind.UPSTREAM: "upstream output",
    PartKind.UNCERTAIN: "what cannot be read with certainty",
}


def difference(old: Iterable[Part], new: Iterable[Part]) -> tuple[Reason, ...]:
    """What differs between two keys' parts, in a stable order; empty if and only if the keys are equal."""
    was_there, is_there = set(old), set(new)
    before, after = _by_subject(was_there - is_there), _by_subject(is_there - was_there)
    reasons = []
    for at in sorted(before.keys() | after.keys()):
        kind, subject = at
        was, now = before.get(at), after.get(at)
        reasons.append(Reason(kind.value, shown(subject), _sentence(kind, subject, was, now), was, now))
    return tuple(reasons)


def _by_subject(parts: Iterable[Part]) -> Mapping[tuple[PartKind, str], str]:
    return {(part.kind, part.subject): part.value for part in parts}


def _sentence(kind: PartKind, subject: str, was: str | None, now: str | None) -> str:
    what = f"{_WORDS[kind]} {shown(subject)}".rstrip()
    if kind is PartKind.UNCERTAIN:
        if was is None or now is None:
            return shown(subject) if now is not None else f"no longer: {shown(subject)}"
        return f"{shown(subject)}; something it may load changed"
    if was is None:
        return f"{what} is new" if now is None or _is_opaque(now) else f"{what} is new: {shown(now)}"
    if now is None:
        return f"{what} is gone"
    (old_mode, old_content), (new_mode, new_content) = _split(was), _split(now)
    if _is_opaque(was) or _is_opaque(now):
        only_mode = old_content == new_content and old_mode and new_mode
        return f"{what} changed its mode: {old_mode} → {new_mode}" if only_mode else f"{what} changed"
    return f"{what}: {shown(was)} → {shown(now)}"


def _is_opaque(value: str) -> bool:
    """Hashes say nothing to a person; canonical parameter values do."""
    content = _split(value)[1]
    return len(content) > 60 or (len(content) >= 40 and " " not in content)


def _split(value: str) -> tuple[str, str]:
    """A file's mode (``""`` if it has none) and what is left: its content."""
    mode, _, content = value.partition(" ")
    return (mode, content) if len(mode) == 6 and mode.isdigit() else ("", value)


def abbreviated(value: str | None) -> str:
    """A part's value for a table: hashes shortened, ``None`` as a dash."""
    if value is None:
        return "–"
    return short(_split(value)[1]) if _is_opaque(value) else shown(value)
