"""The documents are true: links lead somewhere, verbs and options exist, every setting, key and endpoint is described."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from service.adapters.reading.schema import json_schema
from service.cli import VERBS, _app
from service.settings import PREFIX, Settings
from service.web import api, health, webhooks
from service.web.instruments import API

ROOT = Path(__file__).resolve().parents[2]
_LISTED = subprocess.run(
    ["git", "ls-files", "-z", "--", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout
DOCUMENTS = [ROOT / name for name in _LISTED.split("\0") if name]
CONFIGURATION = ROOT / "docs" / "configuration.md"
NOT_SETTINGS = {"REFIT_SERVER", "REFIT_TOKEN"}
"""What the command line reads, or a test run."""

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CALL = re.compile(r"(?:(?<!\[)\brefit|run\.py) ([a-z]+)((?: [^`|;&#\n]*)?)")
_RUN_PY = {"demo", "test", "sync", "lock"}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code(text: str) -> Iterator[str]:
    """What stands in code, inline or in a block: prose may say "Refit plans"."""
    blocks = re.split(r"^```.*$", text, flags=re.MULTILINE)
    for at, block in enumerate(blocks):
        if at % 2:
            yield from (line.partition(" #")[0] for line in block.splitlines())
        else:
            yield from re.findall(r"`([^`]+)`", block)


@cache
def command() -> TyperGroup:
    found = get_command(_app([]))
    assert isinstance(found, TyperGroup)
    return found


# links ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_relative_link_leads_to_something(path: Path) -> None:
    broken = []
    for target in _LINK.findall(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        place = (path.parent / file).resolve() if file else path
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(target)
    assert broken == []


def anchors(path: Path) -> set[str]:
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".md" or not path.is_file():
            continue
        reached.add(path)
        links = (target.partition("#")[0] for target in _LINK.findall(path.read_text(encoding="utf-8")))
        waiting += [(path.parent / link).resolve() for link in links if link and ":" not in link]
    assert [named(path) for path in DOCUMENTS if path not in reached | {ROOT / "docs" / "README.md"}] == []


# the command line -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=named)
def test_every_verb_and_option_that_is_named_exists(path: Path) -> None:
    wrong = []
    for text in code(path.read_text(encoding="utf-8")):
        for verb, rest in _CALL.findall(text):
            if verb in _RUN_PY and "run.py" in text and verb not in VERBS:
                continue
            if problem := unknown(verb, rest.split()):
                wrong.append(f"{text}: {problem}")
    assert wrong == []


def unknown(verb: str, words: list[str]) -> str:
    """What of ``refit verb words`` there is not."""
    found: TyperCommand | TyperGroup | None = command().commands.get(verb)
    if found is None:
        return f"no verb {verb}"
    if isinstance(found, TyperGroup):
        if not words or words[0] not in found.commands:
            return f"no {verb} {' '.join(words[:1])}"
        found = found.commands[words[0]]
    options = {name for parameter in found.params for name in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    given = [word.rstrip(",.:)") for word in words if word.startswith("--")]
    return ", ".join(f"no option {word}" for word in given if word not in options)


def test_every_verb_is_described() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    expected = []
    for name, one in command().commands.items():
        expected += [f"{name} {inner}" for inner in one.commands] if isinstance(one, TyperGroup) else [name]
    assert [verb for verb in expected if f"`refit {verb}" not in text] == []


# configuration --------------------------------------------------------------------------------------------------------


def rows(text: str) -> dict[str, str]:
    """Name → the rest of its row, of every table whose first cell is code."""
    return dict(re.findall(r"^\| `([^`|]+)` \|(.*)\|$", text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described_with_its_default(name: str) -> None:
    variable = f"{PREFIX}{name.upper()}"
    found = rows(CONFIGURATION.read_text(encoding="utf-8"))
    assert variable in found, f"describe {variable} in docs/configuration.md: {Settings.model_fields[name].description}"
    default = shown_default(Settings.model_fields[name])
    assert default in found[variable], f"its default is {default}"


def shown_default(field: FieldInfo) -> str:
    """As the document writes it; empty where words say it better."""
    value = field.default
    if value is PydanticUndefined or value is None or field.annotation is dict[str, str] or value == "":
        return ""
    plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    return f"`{json.dumps(plain) if isinstance(plain, bool | int | float) else plain}`" if plain else ""


def test_no_setting_is_described_that_does_not_exist() -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {f"{name}_FILE" for name in known} | NOT_SETTINGS
    for path in DOCUMENTS:
        mentioned = set(re.findall(r"\bREFIT_[A-Z_]+[A-Z]\b", path.read_text(encoding="utf-8")))
        mentioned = {name for name in mentioned if not name.startswith("REFIT_TEST_")}  # of the tests themselves
        assert mentioned - known == set(), named(path)


def test_every_key_of_the_manifest_is_described() -> None:
    found = rows(CONFIGURATION.read_text(encoding="utf-8"))
    schema = json_schema()
    definitions = schema["definitions"]
    assert isinstance(definitions, dict)
    keys = {key for shape in (schema, *definitions.values()) for key in properties(shape)}
    assert {key for key in keys if key not in found} <= {"model", "as"}, "describe it in docs/configuration.md"
    assert all(key in found["register"] for key in ("`model`", "`as`"))


def properties(shape: Any) -> Mapping[str, Any]:
    return shape.get("properties", {}) if isinstance(shape, dict) else {}


def test_the_committed_schema_is_the_codes() -> None:
    committed = (ROOT / "docs" / "refit.schema.json").read_text(encoding="utf-8")
    expected = json.dumps(json_schema(), indent=2, ensure_ascii=True) + "\n"
    assert committed == expected, "run: refit validate --schema > docs/refit.schema.json"


# the API --------------------------------------------------------------------------------------------------------------


def test_every_endpoint_is_described() -> None:
    app = FastAPI()
    for router in (api.router, health.router, webhooks.router):
        app.include_router(router)
    paths = [path.removeprefix(API) for path in app.openapi()["paths"]]
    assert "/deliveries/{guid}/replay" in paths
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [path for path in paths if not described(path, text)] == []


def described(path: str, text: str) -> bool:
    """As it is, with a query, or with ``…`` for what the row has said already."""
    return any(form in text for form in (f"{path}`", f"{path}?", f"`…/{path.rpartition('/')[2]}`"))
