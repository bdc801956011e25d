"""Owns the operator's backends: the file that ``REFIT_BACKENDS`` names, every mistake in it at once; refuses anything that comes
from a repository."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import uv
import yaml
from pydantic import ValidationError

from service.adapters.backends import BUILT_IN, DECLARED, make_backend, open_declared
from service.adapters.backends.azureml.native.opening import open_definitions as azureml_definitions
from service.adapters.backends.sagemaker.native.opening import open_definitions as sagemaker_definitions
from service.adapters.backends.sandbox.sandbox import kept_from_pipelines
from service.bootstrap.definitions import EveryVendor
from service.domain.errors import Refused
from service.ports.backend import Backend
from service.ports.definitions import Definitions
from service.ports.reader import Reader
from service.settings import Settings

_NAME = re.compile(r"[A-Za-z][\w-]{0,63}")
_LARGEST = 1024 * 1024


def open_backends(settings: Settings, reader: Reader | None = None) -> dict[str, Backend]:
    """Every backend of this server by its name in refit.yaml: the built-in ones and the declared ones."""
    binary = uv.find_uv_bin()
    opened = {name: make_backend(name, settings.home / "local", uv=binary) for name in BUILT_IN}
    mistakes: list[str] = []
    for name, given in _declared(settings).items():
        try:
            opened[name] = open_declared(
                name, given, settings.home, uv=binary, reader=reader, unconfined=settings.compile_unconfined
            )
        except ValidationError as invalid:
            mistakes += [
                f"{name}.{_place(error['loc'])}{_words(error['type'], error['msg'])}" for error in invalid.errors()
            ]
    if mistakes:
        raise _refused(settings, mistakes)
    return opened


def open_definitions(settings: Settings, reader: Reader) -> Definitions:
    """What reads native definitions; nothing is installed or written before one is asked for."""
    declared = {name: given for name, given in _declared(settings).items() if given["type"] == "sagemaker"}
    home, binary = settings.home, uv.find_uv_bin()
    hidden, unconfined = kept_from_pipelines(home), settings.compile_unconfined
    return EveryVendor(
        {
            "sagemaker": sagemaker_definitions(
                declared, home / "sagemaker", uv=binary, hidden=hidden, unconfined=unconfined
            ),
            "azureml": azureml_definitions(home / "azureml", reader, uv=binary, hidden=hidden, unconfined=unconfined),
        }
    )


def names_of_backends(settings: Settings) -> tuple[str, ...]:
    """The names that refit.yaml may use; nothing is opened."""
    return (*BUILT_IN, *_declared(settings))


def slots_of(settings: Settings, opened: Mapping[str, Backend]) -> dict[str, int]:
    """How many steps each backend runs at once: this machine is not a cloud."""
    return {name: backend.slots or settings.slots for name, backend in opened.items()}


def _declared(settings: Settings) -> Mapping[str, Mapping[str, object]]:
    """Name → what was declared, of a known type."""
    if settings.backends is None:
        return {}
    mistakes: list[str] = []
    found: dict[str, Mapping[str, object]] = {}
    for name, given in _read(settings, settings.backends).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            mistakes.append(f"{name!r} is not a name: a letter, then letters, digits, _ or -")
        elif name in BUILT_IN:
            mistakes.append(f"{name} is built in; choose another name")
        elif not isinstance(given, dict):
            mistakes.append(f"{name} must be a mapping that starts with `type:`")
        elif given.get("type") not in DECLARED:
            mistakes.append(f"{name}.type is {given.get('type')!r}; there is {', '.join(DECLARED)}")
        else:
            found[name] = given
    if mistakes:
        raise _refused(settings, mistakes)
    return found


def _read(settings: Settings, path: Path) -> Mapping[object, object]:
    try:
        content = path.read_bytes()[: _LARGEST + 1]
        value = yaml.safe_load(content) if len(content) <= _LARGEST else None
    except OSError as error:
        raise Refused(f"reading REFIT_BACKENDS: {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _refused(settings, [f"line {mark.line + 1} is not YAML" if mark else "it is not YAML"]) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _refused(settings, ["it must map names to backends"])
    return value


def _place(place: tuple[int | str, ...]) -> str:
    return ".".join(map(str, place))


def _words(kind: str, message: str) -> str:
    match kind:
        case "missing":
            return " is missing"
        case "extra_forbidden":
            return " is no key of this type"
        case _:
            return f": {message.removeprefix('Value error, ')}"


def _refused(settings: Settings, mistakes: list[str]) -> Refused:
    return Refused(
        f"reading REFIT_BACKENDS: {settings.backends}: {'; '.join(mistakes)}; docs/configuration.md has every key"
    )
