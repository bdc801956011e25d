"""Owns notebook → facts: code cells only, in order; refuses outputs, Markdown and metadata, which change nothing."""

from __future__ import annotations

import ast
import hashlib
import json
import re
import warnings
from dataclasses import replace

from service.adapters.reading.python_source import read_python
from service.domain.facts import Doubt, PythonFacts

_MAGIC = re.compile(r"^(\s*)([\w, .]+?=\s*)?([%!?].*|[\w.]+\?\??\s*)$")
_ASSIGNED = r"^[ \t]*(?:[\w, .]{1,200}?=[ \t]*)?"
_OTHER_LANGUAGE = re.compile(
    _ASSIGNED + r"(?:!|%(?:run|sx|system)\b|%%(?:!|sx|system|bash|sh|script|perl|ruby|writefile))", re.MULTILINE
)
_RUN = re.compile(_ASSIGNED + r"(?:!|%run\b).{0,200}?([\w./-]+\.py)\b", re.MULTILINE)
_MOVES = re.compile(r"\bchdir\(|^[ \t]*%(?:cd|pushd|popd)\b", re.MULTILINE)
_TIMERS = frozenset({"time", "timeit", "prun", "lprun", "memit", "mprun", "capture"})
"""Magics whose rest, or whose cell, is Python that runs here."""
_TIMED = re.compile(r"^%(\w+)\s+(?:-\w+\s*\d*\s+)*(.*)$")


def read_notebook(content: bytes) -> PythonFacts:
    """Facts of the code cells as one module; magics count as text."""
    digest = f"bytes {hashlib.sha256(content).hexdigest()}"
    try:
        cells = json.loads(content)["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return PythonFacts(digest, digest, doubts=(Doubt("is not a notebook that can be read", 0, "python"),))
    facts = read_python("\n".join(_plain(source) for source in sources).encode("utf-8", "surrogatepass"))
    text = "\n".join(sources)
    doubts = facts.doubts
    if _OTHER_LANGUAGE.search(text):
        doubts = (*doubts, Doubt("runs another program", 0, "all"))
    if _MOVES.search(text):  # a kernel looks for modules in the current folder
        doubts = (*doubts, Doubt("changes the current folder, and with it the import path", 0, "python"))
    return replace(facts, scripts=tuple(dict.fromkeys([*facts.scripts, *_RUN.findall(text)])), doubts=doubts)


def _plain(source: str) -> str:
    """A cell as Python: what IPython would transform becomes a call that carries the text."""
    if _parses(source):
        return source
    first, _, body = source.lstrip().partition("\n")
    if first.startswith("%%"):  # %%time is followed by Python, %%bash and %%html are not, others may be
        inner = _plain(body)
        said = first if first.removeprefix("%%").split(" ")[0].strip() in _TIMERS else source
        return f"__magic__({said!r})\n{inner}" if _parses(inner) else f"__magic__({source!r})"
    return "\n".join(_line(line) for line in source.split("\n"))


def _parses(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _line(line: str) -> str:
    found = _MAGIC.match(line)
    if not found:
        return line
    indent, assigned, magic = found.group(1), found.group(2) or "", found.group(3)
    timed = _TIMED.match(magic)
    code = timed.group(2) if timed and timed.group(1) in _TIMERS else ""
    plain = f"{indent}{assigned}__magic__({magic!r})"
    return f"{plain}\n{indent}{code}" if code and _parses(code) else plain
