"""Owns requirements files → what pip reads of them; refuses to open what they include.

Lines are joined, stripped of comments and split into options as pip does it.
"""

from __future__ import annotations

import codecs
import hashlib
import re
import shlex
from collections.abc import Iterator

from service.domain.facts import Doubt, TextFacts

_COMMENT = re.compile(r"(?:^|(?<=\s))#.*")  # looks back: blanks before it, searched forwards, cost their square
_COOKIE = re.compile(rb"coding[:=]\s*([-\w.]+)")
_OTHER_FORMAT = re.compile(r"""[\[{}"']|- |[\w-]+:(?:\s|$)|[\w-]+ = """)
"""How lines of TOML, JSON and YAML locks start, and no line that pip reads does."""
_SLOW_CODEC = "punycode"
"""It takes the square of what it decodes, and nobody writes requirements in it."""
_BOMS = (
    *((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32")),
    *((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")),
)
_INCLUDED = {"-r": "--requirement", "-c": "--constraint"}
_INSTALLED = {"-e": "--editable"}
_SEARCHED = {"-f": "--find-links"}
_OPTIONS = {**_INCLUDED, **_INSTALLED, **_SEARCHED}
_LONGEST = 100_000
"""Characters of a line whose options are split as a shell does it, which takes the square of the longest word."""
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")
_FILE = "file:"


def read_requirements(content: bytes) -> TextFacts:
    """Hash of the lines that pip reads, without comments; the files that they include, from the root if they start with
    a slash. A project in the repository is built by code of its own, from whatever files that reads."""
    lines = list(_lines(_decoded(content)))
    if any(_OTHER_FORMAT.match(line) for line in lines):  # a lock of another tool
        return TextFacts(f"bytes {hashlib.sha256(content).hexdigest()}")
    includes: list[str] = []
    installed: list[str] = []
    for line in lines:
        for option, value in _words(line[:_LONGEST]):
            place = _place(option, value)
            if place is None:
                continue
            if option in _INCLUDED or option in _SEARCHED:
                includes.append(place)
            elif place.endswith(_ARCHIVES):
                includes.append(f"/{place}")
            else:
                installed.append(place)
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    doubts = [Doubt(f"installs {path} from the repository", 0, "all") for path in installed]
    if any(len(line) > _LONGEST for line in lines):
        doubts.append(Doubt("has a line too long to tell which files it names", 0, "all"))
    return TextFacts(digest, tuple(dict.fromkeys(includes)), tuple(dict.fromkeys(doubts)))


def _decoded(content: bytes) -> str:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding if encoding == "utf-8" else _endian(mark, encoding), "replace")
    for line in content.split(b"\n")[:2]:
        found = _COOKIE.search(line) if line.startswith(b"#") else None
        if found:
            try:
                codec = codecs.lookup(found.group(1).decode("ascii")).name
                if codec != _SLOW_CODEC:
                    return content.decode(codec, "surrogateescape")
            except (LookupError, UnicodeError, ValueError):
                break
    return content.decode("utf-8", "surrogateescape")


def _endian(mark: bytes, encoding: str) -> str:
    return f"{encoding}-{'le' if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF32_LE) else 'be'}"


def _lines(text: str) -> Iterator[str]:
    """Logical lines: a backslash joins the next line, but not after a comment."""
    waiting: list[str] = []
    for line in text.splitlines():
        goes_on = line.endswith("\\") and not line.lstrip().startswith("#")
        waiting.append(line[:-1] if goes_on else line)
        if not goes_on:
            yield from _plain(waiting)
            waiting = []
    yield from _plain(waiting)


def _plain(parts: list[str]) -> Iterator[str]:
    """The parts of a logical line as one, without its comment; none if nothing is left."""
    plain = " ".join(_COMMENT.sub("", " ".join(parts)).split())
    if plain:
        yield plain


def _words(line: str) -> Iterator[tuple[str, str]]:
    """Pairs (option, value) of those options that name files; (``""``, requirement) for what is installed by its path."""
    start = re.search(r"(?:^|\s)-", line)
    requirement, options = (line[: start.start()], line[start.start() :]) if start else (line, "")
    if requirement.strip():
        yield "", requirement.strip()
    try:
        words = iter(shlex.split(options))
    except ValueError:
        words = iter(options.split())
    for word in words:
        name, equals, value = word.partition("=")
        known = _option(name)
        if known is None and word[:2] in _OPTIONS and not word.startswith("--"):
            yield word[:2], word[2:].removeprefix("=")
        elif known is not None:
            yield known, value if equals else next(words, "")


def _option(name: str) -> str | None:
    """The short name of an option, which may be abbreviated."""
    if name in _OPTIONS:
        return name
    long = [
        short for short, full in _OPTIONS.items() if name.startswith("--") and len(name) > 4 and full.startswith(name)
    ]
    return long[0] if long else None


def _place(option: str, value: str) -> str | None:
    """The path inside the repository that a value names, if it names one."""
    text = value.strip()
    if option in _INCLUDED or option in _SEARCHED:
        return None if "://" in text or not text else text
    if " @ " in text or text.startswith(_FILE):
        text = text.rpartition(" @ ")[2].strip()
        if not text.startswith(_FILE):
            return None
        text = text.removeprefix(_FILE)
        if text.startswith("//"):  # absolute: inside the repository only if a variable says so
            return text.rpartition("}")[2].lstrip("/") or "." if "${" in text else None
    elif "://" in text or (option == "" and not _is_path(text)):
        return None
    bare = text.partition(";")[0].partition("[")[0].strip() or "."
    return None if bare.startswith("/") else bare


def _is_path(text: str) -> bool:
    """Whether pip takes a requirement for a path: it has a separator, or it is an archive's name."""
    name = text.partition(";")[0].partition("[")[0].strip()
    return name.startswith(".") or "/" in name or name.endswith(_ARCHIVES)
