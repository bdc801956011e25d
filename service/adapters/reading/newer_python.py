"""Owns the imports of Python source that the running interpreter cannot parse, and what it consists of, by tree-sitter; refuses
to hash it."""

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
    root = _root(source)
    imports = [one for node in _walk(root) for one in _imports(node)]
    doubts = []
    if root.has_error:
        doubts.append(Doubt("is not valid Python, or newer than Refit's parsers", 0, "python"))
    elif found := [word.decode() for word in _SUSPICIOUS if word in source]:
        doubts.append(Doubt(f"is newer than the running Python and mentions {', '.join(found)}", 0, "all"))
    return imports, doubts


def meaning(source: bytes) -> list[str] | None:
    """Tokens and brackets around them, without layout; comments are tokens that start with ``#``, and no others do.
    ``None`` if the grammar does not know this source."""
    root = _root(source)
    if root.has_error:
        return None
    found: list[str] = []
    waiting: list[Node | None] = [root]
    while waiting:
        node = waiting.pop()
        if node is None:
            found.append(")")
        elif node.type == "comment":
            found.append(_source(node))
        elif not node.children or _hides_text(node, source):
            found.append(f"{node.type} {_source(node)}")
        else:
            found.append(f"({node.type}")
            waiting.append(None)
            waiting += reversed(node.children)
    return found


def _root(source: bytes) -> Node:
    return Parser(Language(tree_sitter_python.language())).parse(source).root_node


def _hides_text(node: Node, source: bytes) -> bool:
    """Whether something other than layout lies between its children: then only its whole text tells what it is."""
    if node.type == "string":
        return True
    at = node.start_byte
    for child in node.children:
        if source[at : child.start_byte].strip(b" \t\r\n\f\\"):
            return True
        at = child.end_byte
    return bool(source[at : node.end_byte].strip(b" \t\r\n\f\\"))


def _source(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "surrogateescape")


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
