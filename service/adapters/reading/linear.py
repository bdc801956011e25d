"""Owns rewriting a glob's regular expression so that it never backtracks far: what many ``*`` would make exponential takes
time in proportion to the path; refuses to change what it matches, but that ``[!a]`` never is a slash, as git has it.

In a glob, what stands between two wildcards may be matched at its first occurrence and never be tried at another: that
leaves the most to the rest. Only what stands behind the last wildcard must try again.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"\(\?:\.\+/\)\?|\(\?:/\.\+\)\?|\(\?:\(\?P<ps_d>/\)\|\$\)|\(\?P<ps_d>/\)"  # folders, and the end
    r"|\[\^?\]?(?:\\.|[^\]\\])*\]\*?|\\.|[^()]",
    re.DOTALL,
)
_ANY_ABOVE, _ANY_BETWEEN, _STAR, _ONE = "(?:.+/)?", "(?:/.+)?", "[^/]*", "[^/]"
_ENDS = ("(?:(?P<ps_d>/)|$)", "(?P<ps_d>/)", "$")


def linear(regex: str) -> str | None:
    """The same language without far backtracking; the text itself if it has none; ``None`` if its form is not known."""
    tokens = _TOKEN.findall(regex)
    if "".join(tokens) != regex or tokens[:1] != ["^"]:
        return None
    tokens = tokens[1:]
    end = tokens.pop() if tokens and tokens[-1] in _ENDS else ""
    above = tokens[:1] == [_ANY_ABOVE]
    groups: list[list[list[str]]] = [[[]]]
    for token in tokens[above:]:
        if token == _ANY_BETWEEN:
            groups.append([])
        elif token == "/":
            groups[-1].append([])
        elif token in (_ANY_ABOVE, *_ENDS) or not groups[-1]:
            return None  # a wildcard for folders is followed by a slash
        else:
            is_class = token.startswith("[") and token not in (_STAR, _ONE)
            groups[-1][-1].append(f"(?!/){token}" if is_class else token)
    texts = ["/".join(map(_segment, group)) for group in groups]
    if len(texts) - 1 + above < 2:
        return "^" + _ANY_ABOVE * above + _joined(texts) + end
    first, *middle, last = texts
    start = f"(?>(?:.+?/)??{first}(?=/))" if above else first
    return "^" + start + "".join(f"(?>(?:/.+?)??/{text}(?=/))" for text in middle) + f"{_ANY_BETWEEN}/{last}" + end


def _joined(texts: list[str]) -> str:
    return f"{_ANY_BETWEEN}/".join(texts)


def _segment(tokens: list[str]) -> str:
    """One path segment: what stands between its first and its last star becomes atomic."""
    parts: list[str] = [""]
    for before, token in zip(["", *tokens], tokens, strict=False):
        if token != _STAR:
            parts[-1] += token
        elif before != _STAR:
            parts.append("")
    if len(parts) <= 2:
        return _STAR.join(parts)
    first, *middle, last = parts
    return first + "".join(f"(?>{_STAR}?{part})" for part in middle) + _STAR + last
