"""Owns texts that are nearly right: real ones with a few accidents; refuses pure noise, which no parser reads far into."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.crash.sums import MANIFEST
from tests.fuzz.conftest import ROOT

PYTHON = [path.read_bytes() for path in sorted((ROOT / "service").rglob("*.py")) if path.stat().st_size < 4_000]
YAML = [
    MANIFEST.encode(),
    (ROOT / "pipelines/diamonds/refit.yaml").read_bytes(),
    b"a: &a {lr: 1e-3, n: 010, on: yes, t: 12:30}\nb: {<<: *a, c: ${a.lr}}\ndefaults: [db: mysql, _self_]\n_target_: x.Y\n",
    b"- !!int 1\n- !!float .inf\n- !!binary aGk=\n- ? {a: b}\n  : c\n- |\n  text\n- !!timestamp 2026-01-01\n",
]
JSON = [b'{"a": {"b": [1, 2.5e3, null, true, "\\ud800"]}, "_target_": "x.Y"}', b"[]", b'{"a": 1, "a": 2}']
TOML = [(ROOT / "pyproject.toml").read_bytes()[:4_000], b"a.b = 1\n[[c]]\nd = 1979-05-27T07:32:00Z\ne = '''x'''\n"]
REQUIREMENTS = [b"-r a.txt\n-c b.txt\n./pkg\n-e .\nx==1 ; python_version > '3' # c\n--hash=sha256:ab \\\n y\n"]
DVC = [b"outs:\n- md5: 1a2b\n  path: data.csv\n  size: 3\n- etag: x\n", b"stages:\n  a:\n    outs: [x]\n"]
NOTEBOOK = [
    json.dumps(
        {
            "cells": [
                {"cell_type": "code", "source": ["import a\n", "%time b\n", "!ls\n"]},
                {"cell_type": "markdown", "source": "x"},
                {"cell_type": "code", "source": "%%bash\nls"},
            ],
            "metadata": {"kernelspec": {"language": "python"}},
            "nbformat": 4,
        }
    ).encode(),
]
_PIECES = [
    *(
        b"(",
        b")",
        b"[",
        b"]",
        b"{",
        b"}",
        b"'",
        b'"',
        b'"""',
        b"\\",
        b"\n",
        b"\r",
        b"\t",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
    ),
    *(
        b": ",
        b"- ",
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!",
        b"? ",
        b"${",
        b"}}",
        b"%",
        b"#",
        b"=",
        b"..",
        b"import ",
        b"from . ",
    ),
    *(
        b"def f[T](): pass\n",
        b"type X = int\n",
        b"match x:\n case _: pass\n",
        b"f'{x!r:{y}}'",
        b"lambda: (yield)",
        b"0x" + b"f" * 50,
    ),
    *(
        "\N{PILE OF POO}".encode(),
        "\u2028".encode(),
        "﻿".encode(),
        b"1e999",
        b"-0",
        b".nan",
        b"__import__('a')",
        b"exec(open('a.py'))",
    ),
]


def mutated(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of the seeds with up to a dozen pieces put in, cut out, doubled or moved."""
    return st.builds(_mutate, st.sampled_from(seeds), st.integers(0, 2**32), st.integers(0, 12))


def _mutate(seed: bytes, number: int, count: int) -> bytes:
    chance = random.Random(number)
    text = bytearray(seed)
    for _ in range(count):
        at, end = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        end = min(end, at + 200)
        match chance.randrange(5):
            case 0:
                text[at:at] = chance.choice(_PIECES)
            case 1:
                del text[at:end]
            case 2:
                text[at:at] = text[at:end]
            case 3:
                text[at:end] = chance.choice(_PIECES) * chance.choice([1, 2, 200])
            case _:
                text[at : at + 1] = bytes([chance.randrange(256)])
    return bytes(text)
