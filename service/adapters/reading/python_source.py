"""Owns Python source → facts: semantic hashes, imports, and whatever makes a static reading doubtful; refuses to execute.

Comments and layout do not count, except comments that tools obey. Source newer than the running interpreter is read with
tree-sitter: its bytes count, its imports are still followed.
"""

from __future__ import annotations

import ast
import hashlib
import io
import re
import tokenize
import warnings
from collections.abc import Iterator

from service.adapters.reading.newer_python import read_imports
from service.domain.facts import Doubt, Import, PythonFacts

# Bounded, so that a line of a million # costs no more than its length.
_MAGIC = re.compile(r"#(?:!|\s{0,9}type:|\s{0,9}cython:|\s{0,9}distutils:|.{0,99}?coding[:=])")
_SCRIPT_BLOCK = re.compile(r"^# /// script\s*$.*?^# ///\s*$", re.MULTILINE | re.DOTALL)
_DOC_NAMES = frozenset(
    {"__doc__", "getdoc", "get_docstring", "getsource", "getsourcelines", "getcomments", "getsourcefile"}
)
_DOC_MODULES = ("docopt", "dspy", "torch.jit", "doctest")
_IMPORTERS = frozenset(
    {"importlib.import_module", "__import__", "importlib.__import__", "builtins.__import__", "runpy.run_module"}
    | {"pydoc.locate", "hydra.utils.get_class", "hydra.utils.get_method", "hydra.utils.get_object"}
)
_IMPORTING = frozenset({"import_module", "__import__"})
"""Names that mean one thing whatever object they are taken from."""
_LOADERS = frozenset({"runpy.run_path", "importlib.util.spec_from_file_location", "imp.load_source"})
_WALKERS = frozenset({"eval", "builtins.eval", "pkgutil.iter_modules", "pkgutil.walk_packages"})
_EXECUTORS = frozenset({"exec", "builtins.exec", "execfile"})
_PATHS = ("sys.path", "sys.meta_path", "sys.path_hooks", "__path__")
_PROGRAMS = (
    "subprocess.",
    "os.system",
    "os.popen",
    "os.exec",
    "os.spawn",
    "os.posix_spawn",
    "asyncio.create_subprocess",
)
COMPUTED = "*"
"""Among ``exports``: ``__all__`` is computed, so that any submodule may be in it."""


def read_python(source: bytes) -> PythonFacts:
    """Facts of one module. Never raises on content; runs under the caller's resource limits."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes and the like are the user's business
            tree = ast.parse(source)
        reading = _Reading(tree)
        magic = tuple(_magic_comments(source))
        kept = _hash(ast.dump(tree), *magic)
        _blank_docstrings(tree)
        blanked = _hash(ast.dump(tree), *magic)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError) as error:
        return _read_newer(source, type(error).__name__)
    return PythonFacts(
        kept=kept,
        blanked=blanked,
        imports=tuple(dict.fromkeys(reading.imports)),
        exports=tuple(dict.fromkeys(reading.exports)),
        scripts=tuple(dict.fromkeys(reading.scripts)),
        reads_docstrings=reading.reads_docstrings,
        doubts=tuple(dict.fromkeys(reading.doubts)),
    )


def _hash(*texts: str) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _magic_comments(source: bytes) -> Iterator[str]:
    """Comments that change what a program does: shebang, encoding, type comments, cython directives, PEP 723."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    text = source.decode(encoding, "replace")
    for block in _SCRIPT_BLOCK.finditer(text):
        yield block.group()
    if not _MAGIC.search(text):
        return  # tokenizing costs more than parsing, and most files have nothing to find
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and _MAGIC.match(token.string):
            yield " ".join(token.string.split())


def _blank_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            constant = first.value if isinstance(first, ast.Expr) else None
            if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                node.body = node.body[1:] or [ast.Pass()]


class _Reading(ast.NodeVisitor):
    """One walk over a module: imports wherever they stand, calls that load or run other code."""

    def __init__(self, tree: ast.Module) -> None:
        self.imports: list[Import] = []
        self.exports: list[str] = []
        self.scripts: list[str] = []
        self.doubts: list[Doubt] = []
        self.reads_docstrings = False
        self._called: set[ast.AST] = set()
        self._names = _aliases(tree)
        self.visit(tree)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._imported(Import(alias.name))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._imported(Import(node.module or "", tuple(alias.name for alias in node.names), node.level))

    def _imported(self, one: Import) -> None:
        self.imports.append(one)
        full = [one.module, *(f"{one.module}.{name}" for name in one.names)]
        if any(name == module or name.startswith(module + ".") for name in full for module in _DOC_MODULES):
            self.reads_docstrings = True
        if _DOC_NAMES.intersection(one.names):
            self.reads_docstrings = True

    def visit_Name(self, node: ast.Name) -> None:
        self._referred(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._referred(node)
        self.generic_visit(node)

    def _referred(self, node: ast.Name | ast.Attribute) -> None:
        name = self._dotted(node) or ""
        last = _last(node)
        if last in _DOC_NAMES or name.startswith("torch.jit"):
            self.reads_docstrings = True
        if node not in self._called and (name in _IMPORTERS | _LOADERS | _EXECUTORS or last in _IMPORTING):
            self.doubts.append(Doubt(f"hands {last} on", node.lineno, "all" if name in _EXECUTORS else "python"))

    def visit_Constant(self, node: ast.Constant) -> None:
        if node.value == "__doc__":
            self.reads_docstrings = True

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assigned(target, node.value, node.lineno)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._assigned(node.target, node.value, node.lineno)
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self._assigned(node.target, node.value, node.lineno)
        self.generic_visit(node)

    def _assigned(self, target: ast.expr, value: ast.expr, line: int) -> None:
        if isinstance(target, ast.Name) and target.id == "__all__":
            self._exported(value)
        while isinstance(target, ast.Subscript | ast.Starred):
            target = target.value
        if self._dotted(target) in _PATHS:
            self.doubts.append(Doubt("changes the import path", line, "python"))

    def _exported(self, value: ast.expr) -> None:
        names = _strings(value)
        self.exports += names
        if not isinstance(value, ast.List | ast.Tuple) or len(names) != len(value.elts):
            self.exports.append(COMPUTED)

    def visit_Call(self, node: ast.Call) -> None:
        name = self._dotted(node.func) or ""
        self._called.add(node.func)
        if name in _IMPORTERS or _last(node.func) in _IMPORTING:
            self._dynamic_import(node)
        elif name.startswith(("site.addsitedir", *(f"{path}." for path in _PATHS))):
            self.doubts.append(Doubt("changes the import path", node.lineno, "python"))
        elif name in ("__all__.extend", "__all__.append"):
            self.exports += [*(_strings(node)), COMPUTED]
        elif name in _EXECUTORS:
            self.scripts += _python_files(node)
            self.doubts.append(Doubt("executes source text", node.lineno, "all"))
        elif name in _WALKERS:
            self.doubts.append(Doubt(f"{name} may import anything", node.lineno, "python"))
        elif name in _LOADERS:
            self.scripts += (found := _python_files(node))
            if not found:
                self.doubts.append(Doubt(f"{name} loads a computed path", node.lineno, "python"))
        elif name.startswith(_PROGRAMS):
            self.scripts += _python_files(node)
            self.doubts.append(Doubt("runs another program", node.lineno, "all"))
        self.generic_visit(node)

    def _dynamic_import(self, node: ast.Call) -> None:
        """``import_module("a.b")`` or ``__import__("a", …, ["b"], 1)`` with literal arguments, else a doubt."""
        called = self._dotted(node.func) or ""
        statement = _last(node.func) == "__import__"
        name = _literal(_argument(node, 0, "name", "mod_name", "path"))
        if not isinstance(name, str):
            self.doubts.append(Doubt("computes the name of an import", node.lineno, "python"))
            return
        module = name.lstrip(".")
        level = len(name) - len(module)
        names: tuple[str, ...] = ("__main__",) if called == "runpy.run_module" else ()
        if statement:
            names = tuple(_strings(listed)) if (listed := _argument(node, 3, "fromlist")) else ()
            given = _literal(_argument(node, 4, "level"))
            level = given if isinstance(given, int) else 0
        package = _literal(_argument(node, 1, "package"))
        if level and not statement and isinstance(package, str):
            parts = package.split(".")
            module = ".".join([*parts[: len(parts) - level + 1], module]).strip(".")
            level = 0
        self.imports.append(Import(module, names, level))

    def _dotted(self, node: ast.AST) -> str | None:
        """``importlib.import_module`` for whatever local name it goes by."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        return ".".join([self._names.get(node.id, node.id), *reversed(parts)])


def _aliases(tree: ast.Module) -> dict[str, str]:
    """Local name → what was imported under it, anywhere in the file: a function may use what is imported further down."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _argument(node: ast.Call, position: int, *names: str) -> ast.expr | None:
    if len(node.args) > position:
        return node.args[position]
    return next((keyword.value for keyword in node.keywords if keyword.arg in names), None)


def _literal(node: ast.expr | None) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _strings(node: ast.AST) -> list[str]:
    return [n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def _python_files(node: ast.Call) -> list[str]:
    """Literal paths of Python files among a call's arguments, also inside a command line."""
    words = [word for text in _strings(node) for word in text.split()]
    return [word for word in words if word.endswith(".py") and not word.startswith("/")]


def _read_newer(source: bytes, why: str) -> PythonFacts:
    """Read with tree-sitter what this interpreter cannot parse: never "no imports"."""
    digest = f"bytes {hashlib.sha256(source).hexdigest()}"
    imports: list[Import] = []
    doubts: list[Doubt] = []
    try:
        imports, doubts = read_imports(source)
    except (MemoryError, RecursionError, ValueError):
        doubts = [Doubt(f"cannot be parsed ({why})", 0, "python")]
    return PythonFacts(
        kept=digest,
        blanked=digest,
        imports=tuple(dict.fromkeys(imports)),
        exports=(COMPUTED,) if b"__all__" in source else (),
        reads_docstrings=any(word.encode() in source for word in (*_DOC_NAMES, *_DOC_MODULES)),
        doubts=tuple(doubts),
    )
