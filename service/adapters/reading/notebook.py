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
_OTHER_LANGUAGE = re.compile(
    r"^\s*(?:!|%(?:run|sx|system)\b|%%(?:!|sx|system|bash|sh|script|perl|ruby|writefile))", re.MULTILINE
)
_RUN = re.compile(r"^\s*(?:!|%run\b).{0,200}?([\w./-]+\.py)\b", re.MULTILINE)


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
    return replace(facts, scripts=tuple(dict.fromkeys([*facts.scripts, *_RUN.findall(text)])), doubts=doubts)


def _plain(source: str) -> str:
    """A cell as Python: what IPython would transform becomes a call that carries the text."""
    if _parses(source):
        return source
    first, _, body = source.lstrip().partition("\n")
    if first.startswith("%%"):  # %%time and %%capture are followed by Python, %%bash and %%html are not
        inner = _plain(body)
        return f"__magic__({first!r})\n{inner}" if _parses(inner) else f"__magic__({source!r})"
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
    return f"{found.group(1)}{found.group(2) or ''}__magic__({found.group(3)!r})" if found else line
