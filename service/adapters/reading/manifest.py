"""Owns plain values → a valid manifest, or every mistake at once with its path; refuses to read YAML.

Shape is judged by the pydantic models, meaning here. What has the wrong shape is cut out before meaning is judged, so
that one mistake neither hides the others nor causes more.
"""

from __future__ import annotations

import difflib
import json
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from service.adapters.reading import schema
from service.adapters.reading.globs import compile_globs
from service.domain.command import is_command
from service.domain.errors import InvalidManifest, Mistake
from service.domain.gates import parse_gate
from service.domain.pipeline import (
    Component,
    Hint,
    Input,
    Limits,
    Manifest,
    Native,
    Pipeline,
    Registration,
    RepositoryInput,
    Triggers,
    UpstreamInput,
    UriInput,
    in_order,
)

_URI = re.compile(r"^(?:[a-z][a-z0-9+.-]*://|azureml:)", re.IGNORECASE)
_DOTTED = re.compile(r"^([A-Za-z][\w-]*)\.([A-Za-z][\w-]*)$")
_TIMEOUT = re.compile(r"^(\d+(?:\.\d+)?)\s*([smhd]?)$")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class _Definition:
    """What ``uses`` may name of one vendor, and where it runs, in words."""

    form: re.Pattern[str]
    words: str
    backend: str


_WHAT = {
    "sagemaker": _Definition(re.compile(r".+\.py"), "Python file", "a SageMaker backend"),
    "azureml": _Definition(
        re.compile(r"[^:]+\.ya?ml|[^:]+\.py:[A-Za-z_]\w*"), "pipeline.yml or module.py:function", "an Azure ML backend"
    ),
}
_STAND_INS: dict[str | int, object] = {
    "version": 1,
    "run": "script.py",
    "components": {"component": {"run": "script.py"}},
}
_MODELS: dict[str, type] = {
    "": schema.Document,
    "triggers": schema.Triggers,
    "pipelines": schema.Pipeline,
    "components": schema.Component,
    "register": schema.Register,
}
_NATIVE_MODELS: dict[str, type] = {"pipelines": schema.NativePipeline, "components": schema.Hint}


def read_manifest(value: object, odd: Sequence[str], backends: Collection[str]) -> Manifest:
    """The manifest that plain values declare; raises ``InvalidManifest`` with every mistake."""
    mistakes = [Mistake("", text) for text in odd]
    if not isinstance(value, dict):
        raise InvalidManifest([*mistakes, Mistake("", "must be a mapping that starts with `version: 1`")])
    document = _shaped(value, mistakes)
    if document is None:
        raise InvalidManifest(mistakes)
    reading = _Meaning(backends, mistakes, _declared(value))
    pipelines = tuple(
        reading.native(name, one, document)
        if isinstance(one, schema.NativePipeline)
        else reading.pipeline(name, one, document)
        for name, one in document.pipelines.items()
    )
    if mistakes:
        raise InvalidManifest(sorted(dict.fromkeys(mistakes), key=lambda mistake: mistake.where))
    return Manifest(Triggers(tuple(document.triggers.push), tuple(document.triggers.pull_request)), pipelines)


def _shaped(value: dict[str, Any], mistakes: list[Mistake]) -> schema.Document | None:
    """Validate, cut out what is wrong, and validate what is left; ``None`` if nothing usable is. The first look finds
    every mistake of shape: what later ones find, the cutting has done."""
    for look in range(3):
        try:
            return schema.Document.model_validate(value)
        except ValidationError as invalid:
            told: dict[tuple[str | int, ...], Any] = {}
            for error in invalid.errors(include_url=False):
                if not _of_the_other_form(error, value):
                    told.setdefault(_place(error, value), error)  # each branch of a union has one at the same place
            if not look:
                mistakes += [Mistake(".".join(map(str, place)), _words(error, place)) for place, error in told.items()]
            for place in reversed(told):  # backwards: the places in a list before the one cut out stay what they are
                value = _with(value, place, _STAND_INS[place[-1]]) if _needed(place) else _without(value, place)
    return None


def _place(error: Any, value: Any) -> tuple[str | int, ...]:
    """Where in the document an error is: pydantic's own names, for the branches of a union, are left out."""
    place: list[str | int] = []
    for part in error["loc"]:
        known = part in value if isinstance(value, dict) else isinstance(value, list) and part in range(len(value))
        if known or part == "[key]" or (error["type"] == "missing" and part == error["loc"][-1]):
            place.append(part)
        value = value[part] if known else value
    return tuple(place)


def _of_the_other_form(error: Any, value: Any) -> bool:
    """``environment`` is one file or a list of them; what is wrong with the form that it has not is no mistake."""
    if error["loc"][0] != "environment" or len(error["loc"]) < 2:
        return False
    return str(error["loc"][1]).startswith("list[") != isinstance(value["environment"], list)


def _needed(place: Sequence[str | int]) -> bool:
    """Whether the rest cannot be judged without some value here."""
    in_pipeline = len(place) > 2 and place[0] == "pipelines" and place[2] == "components"
    return place == ("version",) or (in_pipeline and (len(place) == 3 or (len(place) == 5 and place[-1] == "run")))


def _words(error: Any, place: Sequence[str | int]) -> str:
    match error["type"]:
        case "extra_forbidden":
            return _unknown_key(str(place[-1]), place, native=schema.NATIVE in error["loc"])
        case "missing":
            return "is missing"
        case "string_pattern_mismatch" if place and place[-1] == "[key]":
            return "is not a name: a letter, then letters, digits, _ or -"
        case "string_pattern_mismatch":
            return f"{str(error['input'])!r} has a form that is not allowed here"
        case "too_short":
            return "must have at least one entry"
        case "string_too_short":
            return "must not be empty"
        case _:
            return str(error["msg"]).removeprefix("Value error, ")


def _unknown_key(key: str, place: Sequence[str | int], *, native: bool) -> str:
    if key in ("on", "True", "true") and len(place) == 1:
        return "unknown key; triggers are declared under `triggers:`"
    if native and key == "run":
        return "unknown key; what a step runs is said by the definition that `uses` names"
    if native and key == "register":
        return "unknown key; a native definition registers its models itself"
    if len(place) == 1:
        model = _MODELS[""]
    else:
        models = {**_MODELS, **_NATIVE_MODELS} if native else _MODELS
        inside = models.get(str(place[-2]), models[""])
        model = models.get(str(place[-3]), inside) if len(place) > 2 else inside
    names = [field.alias or name for name, field in model.model_fields.items()]  # type: ignore[attr-defined]
    return f"unknown key{_nearest(key, names)}"


def _nearest(name: str, names: Iterable[str]) -> str:
    valid = list(names)
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there {'is' if len(valid) == 1 else 'are'} {', '.join(valid)}" if valid else ""


def _without(value: Any, place: Sequence[str | int]) -> Any:
    """A copy with one place cut out."""
    if not place:
        return {}
    head, *rest = place
    if isinstance(value, dict) and head in value:
        if not rest or rest == ["[key]"]:
            return {key: inner for key, inner in value.items() if key != head}
        return {key: _without(inner, rest) if key == head else inner for key, inner in value.items()}
    if isinstance(value, list) and isinstance(head, int) and head < len(value):
        return [*value[:head], *([_without(value[head], rest)] if rest else []), *value[head + 1 :]]
    return value


def _with(value: Any, place: Sequence[str | int], new: object) -> Any:
    """A copy with another value at one place, which may be missing."""
    head, *rest = place
    return {**value, head: _with(value[head], rest, new) if rest else new}


def _plain(pattern: str) -> str:
    """``./conf/**`` is meant as ``/conf/**``; as in .gitignore it would match nothing."""
    negation = "!" if pattern.startswith("!./") else ""
    bare = pattern.removeprefix("!") if negation else pattern
    return f"{negation}/{bare.removeprefix('./').lstrip('/')}" if bare.startswith("./") else pattern


def _declared(value: dict[str, Any]) -> dict[str, set[str]]:
    """Component names as written, wrong ones too: a reference to one of them is not a second mistake."""
    pipelines = value.get("pipelines")
    found: dict[str, set[str]] = {}
    for name, pipeline in pipelines.items() if isinstance(pipelines, dict) else ():
        components = pipeline.get("components") if isinstance(pipeline, dict) else None
        found[name] = set(components) if isinstance(components, dict) else set()
    return found


def _needed_by_each_other(upstream: Mapping[str, Collection[str]]) -> list[str]:
    """Without those that merely need a member of the cycle."""
    members = dict(upstream)
    while idle := members.keys() - {need for needs in members.values() for need in needs}:
        for name in idle:
            del members[name]
    return list(members)


class _Meaning:
    """Judges references, cycles, gates and names; collects into the shared list."""

    def __init__(self, backends: Collection[str], mistakes: list[Mistake], declared: dict[str, set[str]]) -> None:
        self._backends = backends
        self._mistakes = mistakes
        self._declared = declared

    def _wrong(self, where: str, what: str) -> None:
        self._mistakes.append(Mistake(where, what))

    def pipeline(self, name: str, raw: schema.Pipeline, document: schema.Document) -> Pipeline:
        at = f"pipelines.{name}"
        if raw.backend not in self._backends:
            self._wrong(f"{at}.backend", f"unknown backend {raw.backend!r}{_nearest(raw.backend, self._backends)}")
        components = {
            c: self._component(f"{at}.components.{c}", name, c, one, raw) for c, one in raw.components.items()
        }
        order, left = in_order({c: one.upstream for c, one in components.items()})
        if left:
            cycle = _needed_by_each_other({c: components[c].upstream for c in left})
            self._wrong(f"{at}.components", f"these need each other in a cycle: {', '.join(cycle)}")
        self._globs("ignore", document.ignore)
        environment = document.environment if isinstance(document.environment, list) else [document.environment]
        return Pipeline(
            name=name,
            backend=raw.backend,
            components=tuple(components[c] for c in order),
            environment=tuple(environment),
            ignore=tuple(map(_plain, document.ignore)),
            gates=self._gates(f"{at}.gates", raw.gates),
            register=self._registration(f"{at}.register", name, raw),
        )

    def native(self, name: str, raw: schema.NativePipeline, document: schema.Document) -> Pipeline:
        """A pipeline whose components its own definition will say."""
        at = f"pipelines.{name}"
        vendor, _, path = raw.uses.partition(":")
        what = _WHAT[vendor]
        if not what.form.fullmatch(path) or ".." in path.split("/") or not path.isprintable():
            self._wrong(f"{at}.uses", f"{path!r} is no {what.words} inside the repository")
        clouds = [one for one in self._backends if one != "local"]
        if raw.backend in ("", "local"):
            self._wrong(
                f"{at}.backend",
                f"a native definition runs on {what.backend}; "
                f"{'there is ' + ', '.join(clouds) if clouds else 'the server declares none (REFIT_BACKENDS)'}",
            )
        elif raw.backend not in self._backends:
            self._wrong(f"{at}.backend", f"unknown backend {raw.backend!r}{_nearest(raw.backend, clouds)}")
        for step, hint in raw.components.items():
            self._globs(f"{at}.components.{step}.paths", hint.paths)
        self._globs("ignore", document.ignore)
        environment = document.environment if isinstance(document.environment, list) else [document.environment]
        return Pipeline(
            name=name,
            backend=raw.backend,
            components=(),
            environment=tuple(environment),
            ignore=tuple(map(_plain, document.ignore)),
            gates=self._gates(f"{at}.gates", raw.gates),
            native=Native(
                vendor,
                posixpath.normpath(path),
                tuple(sorted((key, json.dumps(value, sort_keys=True)) for key, value in raw.with_.items())),
                tuple(
                    (step, Hint(tuple(one.params), tuple(map(_plain, one.paths)), tuple(one.constant_inputs)))
                    for step, one in sorted(raw.components.items())
                ),
            ),
        )

    def _component(
        self, at: str, pipeline: str, name: str, raw: schema.Component, siblings: schema.Pipeline
    ) -> Component:
        inputs = tuple((i, self._input(f"{at}.inputs.{i}", pipeline, text, siblings)) for i, text in raw.inputs.items())
        names = [*raw.inputs, *raw.outputs, *(["metrics"] if raw.metrics else [])]
        for repeated in sorted({n for n in names if names.count(n) > 1}):
            self._wrong(at, f"{repeated!r} names two inputs or outputs, and each becomes a flag")
        self._globs(f"{at}.paths", raw.paths)
        if not is_command(raw.run):
            self._wrong(f"{at}.run", f"{raw.run!r} is no command: it is blank, or a quotation mark is missing")
        extra = raw.with_.model_extra or {}
        for key, value in extra.items():
            if isinstance(value, dict | list):
                self._wrong(f"{at}.with.{key}", "must be a single value")
        return Component(
            name=name,
            run=raw.run,
            params=tuple(raw.params),
            paths=tuple(map(_plain, raw.paths)),
            inputs=inputs,
            outputs=tuple(raw.outputs),
            metrics=raw.metrics,
            settings=tuple(sorted((key, str(value)) for key, value in extra.items())),
            limits=Limits(
                self._timeout(f"{at}.with.timeout", raw.with_.timeout), raw.with_.retries, raw.with_.instance
            ),
        )

    def _input(self, at: str, pipeline: str, text: str, siblings: schema.Pipeline) -> Input:
        if _URI.match(text):
            return UriInput(text)
        dotted = _DOTTED.match(text)
        if dotted and dotted.group(1) in self._declared.get(pipeline, ()):
            component, output = dotted.groups()
            made = siblings.components.get(component)
            if made is not None and output not in made.outputs:
                self._wrong(at, f"{component} makes no output {output!r}{_nearest(output, made.outputs)}")
            return UpstreamInput(component, output)
        if not text or text.startswith("/") or ".." in text.split("/"):
            self._wrong(at, f"{text!r} is neither a path inside the repository, nor a URI, nor component.output")
        elif "*" in text or "?" in text:
            self._wrong(at, f"{text!r} is a pattern; an input is one file or one folder")
        return RepositoryInput(text)

    def _timeout(self, at: str, text: str | int | None) -> float | None:
        if text is None:
            return None
        found = _TIMEOUT.match(str(text))
        if not found or float(found.group(1)) <= 0:
            self._wrong(at, f"{text!r} is not a duration such as 90s, 30m, 2h or 1d")
            return None
        return float(found.group(1)) * _SECONDS[found.group(2)]

    def _gates(self, at: str, raw: Sequence[str]) -> tuple[str, ...]:
        for number, text in enumerate(raw):
            problem = parse_gate(text)
            if isinstance(problem, str):
                self._wrong(f"{at}.{number}", problem)
        return tuple(raw)

    def _globs(self, at: str, patterns: Sequence[str]) -> None:
        for number, pattern in enumerate(patterns):
            try:
                compile_globs([pattern])
            except ValueError:
                self._wrong(f"{at}.{number}", f"{pattern!r} is not a pattern as in .gitignore")

    def _registration(self, at: str, pipeline: str, raw: schema.Pipeline) -> Registration | None:
        if raw.register_ is None:
            return None
        component, _, output = raw.register_.model.partition(".")
        made = raw.components.get(component)
        if not self._declared.get(pipeline):  # which is a mistake already
            return None
        if made is None:
            self._wrong(f"{at}.model", f"no component {component!r}{_nearest(component, raw.components)}")
        elif output not in made.outputs:
            self._wrong(f"{at}.model", f"{component} makes no output {output!r}{_nearest(output, made.outputs)}")
        return Registration(component, output, raw.register_.as_)
