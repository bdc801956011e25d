"""Owns the names of what loads, runs or shows code in ways that an import statement does not; refuses to parse."""

from __future__ import annotations

from service.domain.facts import Import

DOC_NAMES = frozenset(
    {"__doc__", "getdoc", "get_docstring", "getsource", "getsourcelines", "getcomments", "getsourcefile"}
    | {"model_json_schema", "get_json_schema"}
)
"""Names that show a docstring, whatever object they are taken from."""
DOC_MODULES = (
    *("docopt", "doctest", "dspy", "ply", "torch.jit"),
    # Language-model tools whose prompts are docstrings.
    *("autogen", "crewai", "fastmcp", "instructor", "langchain", "langchain_core", "langgraph", "llama_index"),
    *("magentic", "mirascope", "pydantic_ai", "smolagents"),
)
SOURCE_NAMES = frozenset({"getsource", "getsourcelines", "getcomments", "getblock", "findsource"})
"""Names that show source text with its comments."""
PATH_FUNCTIONS = frozenset(
    {"Path", "PurePath", "PosixPath", "PurePosixPath", "abspath", "basename", "dirname", "exists", "fspath", "join"}
    | {"normpath", "print", "realpath", "relpath", "resolve", "split", "splitext", "str"}
)
"""What takes ``__file__`` as a path and does not read it."""

IMPORTERS = frozenset(
    {"importlib.import_module", "__import__", "importlib.__import__", "builtins.__import__", "runpy.run_module"}
    | {"pydoc.locate", "hydra.utils.get_class", "hydra.utils.get_method", "hydra.utils.get_object"}
    | {"importlib.util.find_spec", "importlib.find_loader", "pkgutil.resolve_name", "pkgutil.find_loader"}
    | {"pkgutil.get_loader", "lazy_loader.load"}
)
"""They import the module that their first argument names."""
IMPORTING = frozenset({"import_module", "__import__", "import_string", "import_from_string"})
"""The same, whatever object they are taken from."""
LOADERS = {
    "runpy.run_path": (0, "path_name"),
    "importlib.util.spec_from_file_location": (1, "location"),
    "importlib.machinery.SourceFileLoader": (1, "path"),
    "importlib.machinery.SourcelessFileLoader": (1, "path"),
    "importlib.machinery.ExtensionFileLoader": (1, "path"),
    "imp.load_source": (1, "pathname"),
}
"""They load the file that an argument names: its position and its keyword."""
WALKERS = (
    *("eval", "builtins.eval", "pkgutil.iter_modules", "pkgutil.walk_packages", "zipimport.zipimporter"),
    *("imp.find_module", "imp.load_module", "imp.load_package", "imp.load_compiled", "imp.load_dynamic"),
    *("importlib.metadata.entry_points", "importlib_metadata.entry_points", "pkg_resources.iter_entry_points"),
    *("pkg_resources.load_entry_point", "stevedore.", "unittest.main", "unittest.defaultTestLoader.", "unittest.TestLoader"),
    *("lazy_loader.attach", "lazy_loader.attach_stub"),
)  # fmt: skip
"""They may import any module; a name that ends in a dot stands for everything below it."""
INSTANTIATORS = frozenset({"hydra.utils.instantiate", "hydra.utils.call"})
EXECUTORS = frozenset(
    {"exec", "builtins.exec", "execfile", "code.InteractiveInterpreter", "code.InteractiveConsole", "code.interact"}
)
IMPORT_PATHS = ("sys.path", "sys.meta_path", "sys.path_hooks", "__path__")
READERS_OF_A_LIST = frozenset(
    {
        "print",
        "len",
        "list",
        "tuple",
        "set",
        "sorted",
        "enumerate",
        "any",
        "all",
        "repr",
        "str",
        "join",
        "copy",
        "filter",
    }
)
"""What may be given ``sys.path`` and leaves it alone."""
PROGRAMS = (
    *("subprocess.", "os.system", "os.popen", "os.exec", "os.spawn", "os.posix_spawn", "asyncio.create_subprocess"),
    *("pty.spawn", "pexpect.", "papermill.execute_notebook", "nbclient.", "mlflow.run", "mlflow.projects."),
    *("pytest.main", "pytest.console_main"),
)
PROGRAM_STARTERS = frozenset(
    {f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output", "Popen", "getoutput")}
    | {"subprocess.getstatusoutput", "os.system", "os.popen"}
)
"""Those of ``PROGRAMS`` that are handed on, to a pool or a partial."""
SHELLS = frozenset({"run_line_magic", "run_cell_magic", "run_cell"})
"""IPython's, whatever object they are taken from."""
HIDDEN = frozenset({"import_module", "__import__"})
"""Names that ``getattr`` is not asked for without a reason."""


def shows_docstrings(one: Import) -> bool:
    """Whether what is imported is there to show docstrings."""
    full = [one.module, *(f"{one.module}.{name}" for name in one.names)]
    known = any(f"{name}.".startswith(f"{module}.") for module in DOC_MODULES for name in full)
    return (known and not one.level) or not DOC_NAMES.isdisjoint(one.names)
