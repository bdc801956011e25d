"""Owns the imports of Python source that the running interpreter cannot parse, by tree-sitter; refuses semantic hashes."""

from __future__ import annotations

from collections.abc import Iterator

import tree_sitter_python
from tree_sitter import Language, Node, Parser

from service.domain.facts import Doubt, Import

_SUSPICIOUS = (
    *(b"import_module", b"__import__", b"sys.path", b"meta_path", b"__path__", b"addsitedir", b"pkgutil", b"locate"),
    *(b"exec(", b"eval(", b"runpy", b"spec_from_file_location", b"load_source", b"get_class", b"get_method"),
    *(b"subprocess", b"os.system", b"os.popen", b"os.exec", b"os.spawn", b"posix_spawn"),
)


def read_imports(source: bytes) -> tuple[list[Import], list[Doubt]]:
    """Every import statement; a doubt if the grammar fails too, or if something looks like a dynamic import."""
    root = Parser(Language(tree_sitter_python.language())).parse(source).root_node
    imports = [one for node in _walk(root) for one in _imports(node)]
    doubts = []
    if root.has_error:
        doubts.append(Doubt("is not valid Python, or newer than Refit's parsers", 0, "python"))
    elif found := [word.decode() for word in _SUSPICIOUS if word in source]:
        doubts.append(Doubt(f"is newer than the running Python and mentions {', '.join(found)}", 0, "all"))
    return imports, doubts


def _walk(root: Node) -> Iterator[Node]:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(node.children)


def _imports(node: Node) -> Iterator[Import]:
    if node.type == "import_statement":
        for name in node.children_by_field_name("name"):
            yield Import(_name(name))
    elif node.type == "import_from_statement":
        module = node.child_by_field_name("module_name")
        text = _text(module) if module else ""
        bare = text.lstrip(".").strip()
        names = [_name(name) for name in node.children_by_field_name("name")]
        if any(child.type == "wildcard_import" for child in node.children):
            names.append("*")
        yield Import(bare, tuple(names), text.count(".", 0, len(text) - len(bare)))


def _name(node: Node) -> str:
    inner = node.child_by_field_name("name") if node.type == "aliased_import" else node
    return _text(inner or node)


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace").replace(" ", "")
