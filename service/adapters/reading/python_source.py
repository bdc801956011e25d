"""Owns Python source → facts: semantic hashes, imports, and whatever makes a static reading doubtful; refuses to execute.

Comments and layout do not count, except comments that tools obey. Source newer than the running interpreter is read with
tree-sitter; where that fails too, its bytes count.
"""

from __future__ import annotations

import ast
import hashlib
import io
import re
import tokenize
import warnings
from collections.abc import Iterator

from service.adapters.reading.newer_python import meaning as meaning_of
from service.adapters.reading.newer_python import read_imports
from service.adapters.reading.python_names import DOC_NAMES, SOURCE_NAMES, shows_docstrings
from service.adapters.reading.python_reads import read_paths
from service.adapters.reading.python_syntax import flatten
from service.adapters.reading.python_walk import COMPUTED, Walk
from service.domain.facts import Doubt, Import, PythonFacts

# Bounded, so that a line of a million # costs no more than its length.
_MAGIC = re.compile(r"#\s{0,9}(?:type|cython|distutils):")
_ENCODING = re.compile(r"[ \t\f]{0,99}#.{0,99}?coding[:=]")
_SCRIPT_BEGINS = re.compile(r"^# /// script\s*$", re.MULTILINE)
_SCRIPT_ENDS = re.compile(r"^# ///\s*$", re.MULTILINE)


def read_python(source: bytes) -> PythonFacts:
    """Facts of one module. Never raises on content; runs under the caller's resource limits."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes and the like are the user's business
            tree = ast.parse(source)
        syntax = flatten(tree)
        reading = Walk(syntax.nodes)
        reads = tuple(read_paths(syntax.nodes))
        meaning = ("\n".join(syntax.meaning), *_magic_comments(source))
        digest = _hash(*meaning)
        blanked, kept = digest.hexdigest(), _hash("", *syntax.docstrings, after=digest).hexdigest()
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        return _read_newer(source, type(error).__name__)
    return PythonFacts(
        kept=kept,
        blanked=blanked,
        imports=tuple(dict.fromkeys(reading.imports)),
        exports=tuple(dict.fromkeys(reading.exports)),
        scripts=tuple(dict.fromkeys(reading.scripts)),
        reads_docstrings=reading.reads_docstrings,
        reads_source=reading.reads_source,
        reads=reads,
        doubts=tuple(dict.fromkeys(reading.doubts)),
    )


def _hash(*texts: str, after: hashlib._Hash | None = None) -> hashlib._Hash:
    """Of these texts, ``after`` those that were hashed already."""
    digest = hashlib.sha256() if after is None else after.copy()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest


def _magic_comments(source: bytes) -> Iterator[str]:
    """Comments that change what a program does: shebang, encoding, type comments, cython directives, PEP 723."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    text = source.decode(encoding, "replace")
    yield from _first_comments(text)
    yield from _script_blocks(text)
    if not _MAGIC.search(text):
        return  # tokenizing costs more than parsing, and most files have nothing to find
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and _MAGIC.match(token.string):
            yield " ".join(token.string.split())


def _script_blocks(text: str) -> Iterator[str]:
    """PEP 723. Two expressions: as one, each beginning without an end would be followed to the end of the text."""
    at = 0
    while (begins := _SCRIPT_BEGINS.search(text, at)) and (ends := _SCRIPT_ENDS.search(text, begins.end())):
        at = ends.end()
        yield text[begins.start() : at]


def _first_comments(text: str) -> Iterator[str]:
    """A shebang is one on the first line only, an encoding on the first two."""
    for number, line in enumerate(text.split("\n", 2)[:2]):
        if (number == 0 and line.startswith("#!")) or _ENCODING.match(line):
            yield " ".join(line.split())


def _read_newer(source: bytes, why: str) -> PythonFacts:
    """Read with tree-sitter what this interpreter cannot parse: never "no imports"."""
    imports: list[Import] = []
    doubts: list[Doubt] = []
    tokens = None
    try:
        imports, doubts = read_imports(source)
        tokens = meaning_of(source)
    except (MemoryError, RecursionError, ValueError):
        doubts = [Doubt(f"cannot be parsed ({why})", 0, "python")]
    if tokens is None:
        digest = f"bytes {hashlib.sha256(source).hexdigest()}"
    else:
        text = source.decode("utf-8", "replace")
        obeyed = [" ".join(token.split()) for token in tokens if _MAGIC.match(token)]
        code = [token for token in tokens if not token.startswith("#")]
        digest = f"newer {_hash(*_first_comments(text), *_script_blocks(text), *obeyed, '', *code).hexdigest()}"
    return PythonFacts(
        kept=digest,
        blanked=digest,
        imports=tuple(dict.fromkeys(imports)),
        exports=(COMPUTED,) if b"__all__" in source else (),
        reads_docstrings=any(map(shows_docstrings, imports)) or any(word.encode() in source for word in DOC_NAMES),
        reads_source=any(word.encode() in source for word in SOURCE_NAMES),
        doubts=tuple(doubts),
    )
