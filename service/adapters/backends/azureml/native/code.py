"""Owns which files of the repository a job is sent and which of them its command starts; refuses to say what they import."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from service.adapters.backends.azureml.native.expressions import is_outside
from service.adapters.backends.azureml.native.sources import Sources, Where, refused
from service.domain.command import parse_command
from service.domain.names import SUBMODULE, RepoPath, shown

CODE = "code"
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
_HARMLESS = frozenset(
    {"echo", "ls", "pwd", "set", "mkdir", "date", "nvidia-smi", "sleep", "true", "df", "free", "which"}
)
_BETWEEN = frozenset({"&&", ";", "\n"})
_PACKAGE = re.compile(r"[A-Za-z0-9][\w.-]*(?:\[[\w,.-]*\])?(?:(?:[=<>~!]=?|===)[\w.*+!-]+,?)*")
_PIP_FLAGS = frozenset({"-U", "--upgrade", "-q", "--quiet", "--no-cache-dir", "--user", "--pre", "--no-deps"})
_PYTHON = re.compile(r"(?:\S*/)?python(?:3(?:\.\d+)?)?")


@dataclass(frozen=True)
class Code:
    """``root`` is the folder that the job works in, as far as it is one of the repository. ``read`` counts byte by byte, by
    input names: what is put beside the code from elsewhere. ``outside`` names code that nobody has here."""

    run: str = ""
    ships: tuple[RepoPath, ...] = ()
    starts: tuple[RepoPath, ...] = ()
    root: RepoPath | None = None
    read: tuple[tuple[str, RepoPath], ...] = ()
    outside: tuple[str, ...] = ()
    asset: str = ""
    notes: tuple[str, ...] = ()


def shipped(value: Any, includes: Any, where: Where, sources: Sources) -> Code:
    """What ``code`` and ``additional_includes`` send along, before anybody looks at the command."""
    if isinstance(value, dict) and isinstance(value.get("local_path"), str):
        value = value["local_path"]
    code = Code()
    if isinstance(value, str) and value.startswith(("git+", "git@")):
        code = Code(outside=(f"its code at {shown(value)}",))
    elif isinstance(value, str) and is_outside(value):
        is_asset = value.lower().startswith("azureml:")
        code = Code(asset=value) if is_asset else Code(outside=(f"its code at {shown(value)}",))
    elif isinstance(value, str):
        code = _folder(value, where.at(CODE), sources)
    elif value is not None:
        raise refused(where.at(CODE), "it is no path")
    read, outside = list(code.read), list(code.outside)
    for one in included(includes, where, sources):
        if isinstance(one, str):
            at = where.at("additional_includes")
            path = sources.contained(_uncompressed(one, at, sources), at)
            read.append((f"{CODE}/{path}", path))
        else:
            outside.append("an artifact that it includes")
    return replace(code, read=tuple(dict.fromkeys(read)), outside=tuple(outside))


def _folder(text: str, where: Where, sources: Sources) -> Code:
    path = sources.contained(text, where)
    if sources.tree.get(path) is not None:
        return Code(ships=(path,), root=path.rpartition("/")[0])
    start = f"{path}/" if path else ""
    is_ignored = _ignoring(path, sources)
    ships, read = [], []
    for one in sources.below(path):
        inside = one[len(start) :]
        if "__pycache__" in inside.split("/") or is_ignored(inside):
            continue
        entry = sources.tree.get(one)
        if entry is not None and entry.is_link:
            read.append((f"{CODE}/{one}", one))  # with whatever lies where it leads
        if entry is not None and entry.mode != SUBMODULE:
            ships.append(one)
    return Code(ships=tuple(ships), root=path, read=tuple(read))


def _ignoring(folder: RepoPath, sources: Sources) -> Any:
    """The rule of ``.amlignore``, else of ``.gitignore``, at the top of a code folder: the last pattern that matches decides,
    also about what lies in a folder that an earlier one named. Those of other folders have no say."""
    names = (posixpath.join(folder, name) for name in (".amlignore", ".gitignore"))
    file = next((name for name in names if sources.exists(name)), None)
    rules = []
    for line in sources.lines(file) if file else ():
        pattern = line.rstrip()
        if pattern and not pattern.startswith("#"):
            try:
                rules.append((sources.matcher((pattern.removeprefix("!"),)), not pattern.startswith("!")))
            except ValueError:
                continue  # a pattern that the SDK's library takes for none either

    def is_ignored(path: str) -> bool:
        answer = False
        for matches, ignores in rules:
            if matches(path):
                answer = ignores
        return answer

    return is_ignored


def included(includes: Any, where: Where, sources: Sources) -> list[Any]:
    """``additional_includes`` of a component, or the lines of the file of that name beside its own."""
    if includes is None and where.file.endswith((".yml", ".yaml")):
        beside = f"{where.file.rpartition('.')[0]}.additional_includes"
        return [line.strip() for line in sources.lines(beside) if line.strip() and not line.startswith("#")]
    if includes is not None and not isinstance(includes, list):
        raise refused(where.at("additional_includes"), "it is no list")
    return list(includes or ())


def _uncompressed(text: str, where: Where, sources: Sources) -> str:
    """``lib.zip`` stands for the folder ``lib``, if only that is there."""
    folder = text.removesuffix(".zip")
    at = posixpath.normpath(posixpath.join(where.folder, text))
    is_folder = folder != text and not sources.exists(at) and sources.tree.is_folder(at.removesuffix(".zip"))
    return folder if is_folder else text


def started(code: Code, command: str, variables: Any) -> Code:
    """The same, with what the command starts. Where that is not known, everything that is sent counts, and a note says so."""
    if not code.ships:
        return code
    found = [] if "PYTHONPATH" in f"{command} {variables}" else _programs(command, code)
    if not found:
        note = f"which script its command starts is not known: everything below {shown(code.root or '.')} counts"
        return replace(code, notes=(*code.notes, note), root=code.root)
    run, root, _ = found[0]
    starts = [path for _, _, paths in found for path in paths]
    return replace(code, run=run, root=root, starts=tuple(dict.fromkeys(starts)))


def started_script(code: Code, script: Any, where: Where) -> Code:
    """The same, with a script that is named by a key of its own."""
    path = posixpath.normpath(posixpath.join(code.root or "", str(script)))
    if path not in code.ships:
        raise refused(where, f"{shown(str(script))!r} is no file of its code")
    return replace(code, run=f"python3 {shlex.quote(path)}")


_Program = tuple[str, RepoPath, tuple[RepoPath, ...]]
"""A command as in refit.yaml, the folder that it runs in, the Python files that it starts besides."""


def _programs(command: str, code: Code) -> list[_Program]:
    """Every Python program that a command starts, in order; none if anything in it is not understood."""
    here, ships = code.root or "", frozenset(code.ships)
    found: list[_Program] = []
    for words in _segments(command):
        if words[0] in _HARMLESS:
            continue
        if words[0] == "cd" and len(words) == 2 and not words[1].startswith(("/", "~", "$")):
            here = posixpath.normpath(posixpath.join(here, words[1]))
            here = "" if here == "." else here
        elif _is_install(words):
            continue
        elif (program := _program(words, here, ships)) is not None:
            found.append(program)
        else:
            return []
    if not found:
        return []
    scripts = [(root, posixpath.dirname(shlex.split(run)[1])) for run, root, _ in found]
    if len(found) > 1 and (len(set(scripts)) > 1 or any(run.startswith("python3 -m ") for run, _, _ in found)):
        return []  # they do not import from the same places
    run, root, besides = found[0]
    return [(run, root, (*besides, *(shlex.split(other)[1] for other, _, _ in found[1:]))), *found[1:]]


def _segments(command: str) -> Iterator[list[str]]:
    """The words of each simple command; one that nobody understands stands for what is none."""
    text = _OPTIONAL.sub(r"\1", command.replace("\\\n", " ")).replace("\n", " ; ")
    if "`" in text or "$(" in text:
        yield [text]
        return
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        for word in lexer:
            if word in _BETWEEN:
                if words:
                    yield words
                words = []
            else:
                words.append(word)
    except ValueError:
        yield [text]
        return
    if words:
        yield words


def _is_install(words: list[str]) -> bool:
    """``pip install`` of packages by name, or of a file's; one from a folder brings code that nobody sees."""
    if (
        words[:1] != ["pip"]
        and words[:1] != ["pip3"]
        and not (_PYTHON.fullmatch(words[0]) and words[1:3] == ["-m", "pip"])
    ):
        return False
    rest = iter(words[3:] if words[0] not in ("pip", "pip3") else words[1:])
    if next(rest, "") != "install":
        return False
    for word in rest:
        if word in ("-r", "--requirement"):
            next(rest, None)
        elif word not in _PIP_FLAGS and not _PACKAGE.fullmatch(word):
            return False
    return True


def _program(words: list[str], here: RepoPath, ships: Collection[RepoPath]) -> _Program | None:
    if not _PYTHON.fullmatch(words[0]) or any(set(word) <= set("();<>|&") for word in words):
        return None
    given = parse_command(shlex.join(words))
    if given.doubts or given.opaque:
        return None
    names = (posixpath.normpath(posixpath.join(here, word)) for word in given.arguments)
    besides = tuple(path for path in names if path.endswith(".py") and path in ships)
    if given.script is not None:
        path = posixpath.normpath(posixpath.join(here, given.script))
        return (f"python3 {shlex.quote(path)}", here, besides) if path in ships else None
    stem = posixpath.join(here, *str(given.module).split("."))
    if not {f"{stem}.py", f"{stem}/__main__.py"}.intersection(ships):
        return None
    return f"python3 -m {given.module}", here, besides
