"""Owns which script of the repository a step starts and which files its container gets; refuses to say what they import."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from service.adapters.backends.sagemaker.native.expressions import plain
from service.adapters.backends.sagemaker.native.uploads import Origin, Origins
from service.adapters.backends.sandbox.values import strings
from service.domain.names import RepoPath

_STARTED = re.compile(r"^\s*(?:exec\s+)?\S*python[\d.]*\s+(?:-u\s+)?(\S+\.py)", re.MULTILINE)
URI = re.compile(r"s3://[^\s\"',}\]]+")
PROGRAM, SUBMITTED = "sagemaker_program", "sagemaker_submit_directory"


@dataclass(frozen=True)
class Code:
    """``run`` as in refit.yaml, ``""`` if no script is known to start. ``data`` are (input name, file) of uploads that are read
    as data; ``made`` contents that no file of the repository has. ``outside`` names code that nobody uploaded here."""

    run: str = ""
    ships: tuple[RepoPath, ...] = ()
    data: tuple[tuple[str, RepoPath], ...] = ()
    made: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def code_of(kind: str, arguments: Mapping[str, Any], origins: Origins) -> Code:
    """The code of one step, whatever its type; of its ``arguments`` only what can change a result: places to write to may be
    a bucket in which everything lies."""
    submitted = next(_with_key(arguments, SUBMITTED), None)
    if submitted is not None:
        return _toolkit(arguments, submitted, origins)
    if kind == "Processing":
        return _processing(arguments, origins)
    return _whatever(arguments, origins)


def _toolkit(arguments: Mapping[str, Any], given: Mapping[str, Any], origins: Origins) -> Code:
    """As the framework images start it: an archive is unpacked, and one of its files is the program."""
    uri, program = plain(given[SUBMITTED]), plain(given.get(PROGRAM))
    found = origins.at(uri) if isinstance(uri, str) else ()
    others = [one for one in uploads_in(arguments, origins) if one not in found]
    data, made = _named(others, arguments, origins)
    if len(found) != 1:
        return Code(data=data, made=made, outside=(f"its code at {uri}",))
    origin = origins.of(found[0])
    return _starting(origin, program if isinstance(program, str) else "", data, (*origin.made, *made))


def _starting(origin: Origin, program: str, data: tuple[tuple[str, RepoPath], ...], made: tuple[str, ...]) -> Code:
    path = posixpath.normpath(posixpath.join(origin.folder or "", program)) if program else ""
    notes = (f"several files have the content of {program}: all of them count",) if origin.is_ambiguous else ()
    flat = posixpath.dirname(posixpath.normpath(program)) == ""
    if path not in origin.files or not flat or origin.is_ambiguous:  # a program in a subfolder imports from the top
        return Code("", origin.files, data, made, notes=notes)
    data = (*data, *((f"code/{one}", one) for one in origin.elsewhere))  # imports look for these where they do not lie
    return Code(f"python3 {shlex.quote(path)}", origin.files, data, made)


def _processing(arguments: Mapping[str, Any], origins: Origins) -> Code:
    """An entry point below the place that an input is put to, or a shell script that the SDK made to start one."""
    words = [
        word for word in arguments.get("AppSpecification", {}).get("ContainerEntrypoint", ()) if isinstance(word, str)
    ]
    inputs = [one for one in arguments.get("ProcessingInputs", ()) if isinstance(one.get("S3Input"), dict)]
    for word in words:
        if not word.endswith((".py", ".sh")):
            continue
        at = next((one for one in inputs if word.startswith(_place(one))), None)
        if at is None:
            continue
        uri = at["S3Input"].get("S3Uri")
        found = origins.at(uri) if isinstance(uri, str) else ()
        if not found:
            data, made = _named(uploads_in(arguments, origins), arguments, origins)
            return Code(data=data, made=made, outside=(f"its code at {uri}",))
        name = word.removeprefix(_place(at))
        code = next((one for one in found if posixpath.basename(one) == name or one.endswith(f"/{name}")), found[0])
        if word.endswith(".sh") and (started := _STARTED.search(origins.uploads[code].text)):
            return _from_shell(arguments, started.group(1), origins)
        origin = origins.of(code)
        script = origin.files[0] if word.endswith(".py") and len(origin.files) == 1 else None
        beside = [code, *_importable(arguments, inputs, at, script, origins)] if script else []
        others = [one for one in uploads_in(arguments, origins) if one not in beside]
        data, made = _named(others, arguments, origins)
        own = [origins.of(one) for one in dict.fromkeys(beside)]
        ships = tuple(path for one in own for path in one.files)
        made = (*made, *(text for one in own for text in one.made))
        return Code(f"python3 {shlex.quote(script)}" if script else "", ships, data, made)
    return _as_data(arguments, origins)


def _importable(
    arguments: Mapping[str, Any],
    inputs: list[Mapping[str, Any]],
    code: Mapping[str, Any],
    script: RepoPath,
    origins: Origins,
) -> list[str]:
    """Uploads that are there to be imported: their place is the script's own or on ``PYTHONPATH``, and they lie beside the
    script in the repository as they do there, so that its imports find the same files. Anything else is data, every byte of
    which counts."""
    given = arguments.get("Environment", {}).get("PYTHONPATH")
    places = [f"{one.rstrip('/')}/" for one in given.split(":") if one] if isinstance(given, str) else []
    found: list[str] = []
    for one in inputs:
        prefix = one["S3Input"].get("S3Uri")
        if (_place(one) not in places and one is not code) or not isinstance(prefix, str):
            continue
        uploads = origins.at(prefix)
        start = prefix.rstrip("/") + "/"
        beside = [
            posixpath.join(
                posixpath.dirname(script), uri.removeprefix(start) if uri != prefix else posixpath.basename(uri)
            )
            for uri in uploads
        ]
        if all(path in origins.of(uri).files for uri, path in zip(uploads, beside, strict=True)):
            found += uploads
    return found


def _from_shell(arguments: Mapping[str, Any], program: str, origins: Origins) -> Code:
    archives = [one for one in uploads_in(arguments, origins) if origins.uploads[one].members is not None]
    holders = [one for one in archives if program in (origins.uploads[one].members or ())]
    if len(holders) != 1:
        return _as_data(arguments, origins)
    data, made = _named([one for one in uploads_in(arguments, origins) if one != holders[0]], arguments, origins)
    origin = origins.of(holders[0])
    return _starting(origin, program, data, (*made, *origin.made))


def _as_data(arguments: Mapping[str, Any], origins: Origins) -> Code:
    """Nobody knows what starts, nor what opens what: every byte that is put there counts."""
    data, made = _named(uploads_in(arguments, origins), arguments, origins)
    return Code(data=data, made=made)


def _whatever(arguments: Any, origins: Origins) -> Code:
    """Nothing is known to start: all that was uploaded for it counts."""
    found = [origins.of(one) for one in uploads_in(arguments, origins)]
    return Code(
        "", tuple(path for one in found for path in one.files), made=tuple(text for one in found for text in one.made)
    )


def _named(
    uris: list[str], arguments: Any, origins: Origins
) -> tuple[tuple[tuple[str, RepoPath], ...], tuple[str, ...]]:
    """Uploads that are read as data, each file under the name of its input."""
    data: list[tuple[str, RepoPath]] = []
    made: list[str] = []
    for uri in uris:
        origin, name = origins.of(uri), _input_of(arguments, uri)
        data += [(f"{name}/{path}", path) for path in origin.files]  # whole paths: two files may have one name
        made += [f"{name}/{text}" for text in origin.made]
    return tuple(data), tuple(made)


def _input_of(arguments: Any, uri: str) -> str:
    for one in (*arguments.get("ProcessingInputs", ()), *arguments.get("InputDataConfig", ())):
        if any(
            uri == text or uri.startswith(text.rstrip("/") + "/") for text in strings(one) if text.startswith("s3://")
        ):
            return str(one.get("InputName") or one.get("ChannelName") or "")
    return ""


def uploads_in(value: Any, origins: Origins) -> list[str]:
    """Every upload that a value names, in order."""
    named = (uri for text in strings(value) for uri in URI.findall(text))
    return list(dict.fromkeys(one for uri in named for one in origins.at(uri)))


def _place(one: Mapping[str, Any]) -> str:
    return str(one["S3Input"].get("LocalPath", "")).rstrip("/") + "/"


def _with_key(value: Any, key: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        if key in value:
            yield value
        for one in value.values():
            yield from _with_key(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from _with_key(one, key)
