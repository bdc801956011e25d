"""Owns which files and folders a module opens by a literal path; refuses paths that a program computes, and what it writes.

``open("conf/a.txt")``, ``Path(__file__).parent.joinpath("a.txt").read_text()``, ``pd.read_csv(TABLE)``: an import does not
show them, but the text does.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from service.adapters.reading.python_paths import FROM_PACKAGE, literal_path
from service.domain.facts import Read

_READERS = frozenset(
    {"open", "read", "read_text", "read_bytes", "load", "safe_load", "loadtxt", "genfromtxt", "fromfile", "imread"}
    | {"memmap", "CDLL", "PyDLL", "LoadLibrary", "fileConfig", "ZipFile", "File", "exists", "isfile", "is_file"}
    | {"loadmat", "get_data", "resource_filename", "resource_string", "resource_stream", "open_text", "open_binary"}
    | {"as_file"}
)
_PREFIXES = ("read_", "load_", "open_", "from_file")
_METHODS = frozenset({"read_text", "read_bytes", "open", "exists", "is_file"})
"""Of a path: they read it, whatever their arguments are."""
_FOLDERS = frozenset({"listdir", "scandir", "walk", "FileSystemLoader", "ImageFolder", "from_pretrained", "copytree"})
_GLOBS = frozenset({"glob", "iglob", "rglob"})
_PACKAGED = frozenset(
    {"get_data", "resource_filename", "resource_string", "resource_stream", "open_text", "open_binary"}
)
"""They take a package and a path inside it."""
_CONFIGURED = ("hydra.main", "hydra.initialize")
_OPTIONS = frozenset({"add_argument", "option", "Option"})
_KNOWN = _READERS | _METHODS | _FOLDERS | _GLOBS | _PACKAGED | _OPTIONS | {"iterdir", "main", "initialize", "connect"}
_LONGEST, _DEEPEST = 512, 8


def read_paths(nodes: Sequence[ast.AST]) -> list[Read]:
    """Of a module's telling nodes: in the order of the text, each once."""
    calls = [node for node in nodes if node.__class__ is ast.Call and _may_read(_last(node.func))]
    if not calls:
        return []
    names = _Names(nodes)
    return list(dict.fromkeys(read for node in calls for read in _of(node, names)))


def _last(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )


def _may_read(last: str) -> bool:
    return last in _KNOWN or last.startswith(_PREFIXES)


class _Names:
    """What names stand for: everything that is assigned to them anywhere, or that a parameter has for its default."""

    def __init__(self, nodes: Iterable[ast.AST]) -> None:
        self._bound: dict[str, list[ast.expr]] = defaultdict(list)
        for name, value in _bindings(nodes):
            self._bound[name].append(value)
        self.once = {name: values[0] for name, values in self._bound.items() if len(values) == 1}

    def paths(self, node: ast.expr) -> list[str]:
        """The literal paths that an expression may be."""
        found = (literal_path(one, self.once) for one in self._alternatives(node, depth=0))
        return [path for path in found if path is not None]

    def _alternatives(self, node: ast.expr, depth: int) -> Iterator[ast.expr]:
        match node:
            case ast.Name(id=name) if len(self._bound.get(name, ())) > 1 and depth < _DEEPEST:
                branches = self._bound[name]
            case ast.IfExp(body=body, orelse=orelse) if depth < _DEEPEST:
                branches = [body, orelse]
            case ast.BoolOp(values=values) if depth < _DEEPEST:
                branches = values
            case ast.List(elts=elements) | ast.Tuple(elts=elements) if depth < _DEEPEST:
                branches = elements
            case _:
                yield node
                return
        for one in branches:
            yield from self._alternatives(one, depth + 1)


def _bindings(nodes: Iterable[ast.AST]) -> Iterator[tuple[str, ast.expr]]:
    for node in nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            yield node.target.id, node.value
        elif isinstance(node, ast.arguments):
            positional = [*node.posonlyargs, *node.args]
            defaults = [*zip(positional[len(positional) - len(node.defaults) :], node.defaults, strict=True)]
            for argument, default in [*defaults, *zip(node.kwonlyargs, node.kw_defaults, strict=True)]:
                if default is not None:
                    yield argument.arg, default


def _of(node: ast.Call, names: _Names) -> Iterator[Read]:
    function = node.func
    last = _last(function)
    of = names.paths(function.value) if isinstance(function, ast.Attribute) else []
    if last in _GLOBS:
        yield from _globbed(of, _paths(node, names), last)
    elif last in _FOLDERS or (last == "iterdir" and of):
        yield from (Read(path, folder=True) for path in [*_paths(node, names), *of])
    elif last in ("main", "initialize") and _name(function) in _CONFIGURED:
        yield from _configuration(node)
    elif last in _OPTIONS:
        yield from _default(node)
    elif _writes(node, last):
        return
    elif last in _METHODS and of:
        for path in of:
            yield from _file(path)
    elif last in _PACKAGED:
        yield from _packaged(node)
    elif last in _READERS or _name(function) == "sqlite3.connect" or last.startswith(_PREFIXES):
        for path in _paths(node, names):
            yield from _file(path)


def _paths(node: ast.Call, names: _Names) -> list[str]:
    values = [*node.args, *(keyword.value for keyword in node.keywords)]
    return [path for value in values for path in names.paths(value)]


def _file(path: str) -> Iterator[Read]:
    if path.startswith(FROM_PACKAGE):
        package, _, inside = path.removeprefix(FROM_PACKAGE).partition("/")
        if _is_path(inside) and package:
            yield Read(inside, package=package)
    elif _is_path(path):
        yield Read(path)


def _is_path(path: str) -> bool:
    """Whether a text may be the path of a file inside the repository, and not a word, a URL or the content of one."""
    plain = 0 < len(path) <= _LONGEST and path.isprintable() and "://" not in path and not path.startswith("/")
    return plain and ("/" in path or "." in path) and path != "__file__"


def _globbed(of: list[str], patterns: list[str], last: str) -> Iterator[Read]:
    for pattern in patterns:
        for start in of or [""]:
            whole = f"{start}/{'**/' if last == 'rglob' else ''}{pattern}" if start else pattern
            if not whole.startswith("/"):
                yield Read(whole, folder=True)


def _configuration(node: ast.Call) -> Iterator[Read]:
    """Hydra's folder, which is named from the file."""
    for position, value in [*enumerate(node.args), *((keyword.arg, keyword.value) for keyword in node.keywords)]:
        if position in ("config_path", 0) and isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield Read(f"__file__/../{value.value}", folder=True)


def _default(node: ast.Call) -> Iterator[Read]:
    """The file that an option of the command line stands for when it is not given."""
    flags = [
        text.lstrip("-")
        for one in node.args
        if isinstance(one, ast.Constant) and isinstance(text := one.value, str) and text.startswith("--")
    ]
    for keyword in node.keywords:
        path = literal_path(keyword.value) if keyword.arg == "default" else None
        if path is not None and _is_path(path) and flags:
            yield Read(path, flag=flags[0])


def _packaged(node: ast.Call) -> Iterator[Read]:
    match node.args[:2]:
        case [ast.Constant(value=str(package)), ast.Constant(value=str(path))]:
            yield Read(path, package=package)
        case [ast.Name(id="__package__" | "__name__"), ast.Constant(value=str(path))]:
            yield Read(f"__file__/../{path}")


def _writes(node: ast.Call, last: str) -> bool:
    """Whether a file is opened to be written: ``open(path, "w")``, ``path.open(mode="ab")``."""
    modes = [one for one in node.args if isinstance(one, ast.Constant)][-1:]
    modes += [one.value for one in node.keywords if one.arg == "mode" and isinstance(one.value, ast.Constant)]
    texts = [one.value for one in modes if isinstance(one.value, str) and len(one.value) <= 4]
    return last in ("open", "ZipFile", "File") and any(
        set(text) <= set("rwaxbt+") and set(text) & set("wax") for text in texts
    )


def _name(node: ast.expr) -> str:
    return ast.unparse(node) if isinstance(node, ast.Attribute) else ""
