"""Owns notebook → facts: code cells only, in order; refuses outputs, Markdown and metadata, which change nothing."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace

from service.adapters.reading.python_source import read_python
from service.domain.facts import Doubt, PythonFacts

_MAGIC = re.compile(r"^(\s*)([%!?].*)$")


def read_notebook(content: bytes) -> PythonFacts:
    """Facts of the code cells as one module; magics count as text."""
    digest = f"bytes {hashlib.sha256(content).hexdigest()}"
    try:
        cells = json.loads(content)["cells"]
        sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return PythonFacts(digest, digest, doubts=(Doubt("is not a notebook that can be read", 0, "python"),))
    facts = read_python("\n".join(_plain(source) for source in sources).encode("utf-8", "surrogatepass"))
    runs = re.findall(r"^\s*(?:!|%run\b).*?([\w./-]+\.py)\b", "\n".join(sources), re.MULTILINE)
    doubts = facts.doubts
    if re.search(r"^\s*(?:!|%run\b|%%(?:bash|sh|script))", "\n".join(sources), re.MULTILINE):
        doubts = (*doubts, Doubt("runs another program", 0, "all"))
    return replace(facts, scripts=tuple(dict.fromkeys([*facts.scripts, *runs])), doubts=doubts)


def _plain(source: str) -> str:
    """A cell as Python: what IPython would transform becomes a call that carries the text."""
    if source.lstrip().startswith("%%"):
        return f"__magic__({source!r})"
    return "\n".join(_line(line) for line in source.splitlines())


def _line(line: str) -> str:
    found = _MAGIC.match(line)
    return f"{found.group(1)}__magic__({found.group(2)!r})" if found else line
