"""Owns one conversion inside the sandbox: a module's pipeline function called, twice and at two different times, and what it made
as a document whose paths start from the checkout; refuses to judge any of it. A script of its own.

``convert.py REQUEST ANSWER OBJECTS SHARED``: the request says where the checkout is, the module, its function and what to pass;
the answer is JSON; in SHARED lies what all drivers share.
"""

import io
import json
import os
import posixpath
import sys
from typing import Any

sys.path.insert(0, sys.argv[4])
from refit_module import (  # type: ignore[import-not-found]
    Unusable,
    answer,
    arguments,
    forget,
    imported,
    twice,
)
from refit_watch import Watch  # type: ignore[import-not-found]

del sys.path[0]


def converted(request: dict[str, Any]) -> dict[str, Any]:
    import azure.ai.ml  # outside the watch: thousands of files that are not the repository's

    root, (path, _, function) = request["root"], request["path"].partition(":")
    watch = Watch(root)
    places = dict.fromkeys((os.path.join(root, os.path.dirname(path)), root))
    works: list[str] = []

    def made() -> dict[str, Any]:
        """Relative paths are meant from the module's own folder, as when it is run there, or else from the root."""
        first: BaseException | None = None
        for place in works or places:
            os.chdir(place)
            try:
                found = document(azure.ai.ml, path, function, request["with"], root)
            except Unusable:
                raise
            except Exception as error:
                first = first or error
            else:
                if works or len(places) == 1 or not missing(found, root):
                    works[:] = [place]
                    return found
            forget(root)
        if first is not None:
            raise first
        works[:] = [next(iter(places))]
        return made()

    try:
        found, again = twice(root, made)
    finally:
        os.chdir(root)
    return {"document": json.dumps(found), "again": json.dumps(again), **watch.answer()}


def document(sdk: Any, path: str, function: str, given: dict[str, Any], root: str) -> dict[str, Any]:
    import yaml

    make = getattr(imported(path, root), function, None)
    if not callable(make):
        raise Unusable(f"{path} has no function {function}")
    said = {name: sdk.Input(**one) if isinstance(one, dict) and {"path", "type"} & set(one) else one
            for name, one in given.items()}  # fmt: skip
    job = make(**arguments(make, said, {}, {}))
    if not hasattr(job, "dump") or not hasattr(job, "jobs"):
        raise Unusable(f"{function}() of {path} gives no pipeline job, but {type(job).__name__}")
    text = io.StringIO()
    job.dump(text)
    found = yaml.safe_load(text.getvalue())
    include(job, found)
    return json.loads(json.dumps(placed(found, root), default=str))  # type: ignore[no-any-return]


def include(job: Any, found: dict[str, Any]) -> None:
    """What is included is written relative to a file that the document does not name."""
    for name, node in getattr(job, "jobs", {}).items():
        component = getattr(node, "component", None) or getattr(node, "trial", None)
        value = found.get("jobs", {}).get(name, {})
        inner = value.get("component") or value.get("trial")
        if not isinstance(inner, dict) or component is None:
            continue
        if inner.get("additional_includes"):
            base = os.path.abspath(str(component.base_path))
            inner["additional_includes"] = [
                posixpath.join(base, one) if isinstance(one, str) else one for one in inner["additional_includes"]
            ]
        include(component, inner)


def placed(value: Any, root: str) -> Any:
    """Paths of this process as paths from the root of the checkout."""
    if isinstance(value, dict):
        return {key: placed(one, root) for key, one in value.items()}
    if isinstance(value, list):
        return [placed(one, root) for one in value]
    if not isinstance(value, str):
        return value
    text = value.removeprefix("azureml:") if is_path(value) else value
    if text.startswith(("./", "../")) and text is not value:
        text = os.path.join(os.getcwd(), text)
    plain = os.path.normpath(text) if text.startswith("/") else text
    if plain == root or plain.startswith(root + os.sep):
        return "./" + os.path.relpath(plain, root)
    return text if text is not value and "/" in text else value


def is_path(text: str) -> bool:
    """The SDK writes ``azureml:`` before local paths too."""
    rest = text.removeprefix("azureml:")
    return rest != text and "/" in rest and not rest.startswith(("//", "/subscriptions/", "registries/"))


def missing(found: dict[str, Any], root: str) -> bool:
    """Whether a code folder is not where the document says."""
    for job in (found.get("jobs") or {}).values():
        inner = job.get("component") or job.get("trial") if isinstance(job, dict) else None
        if isinstance(inner, dict):
            code = inner.get("code")
            if missing(inner, root) or (isinstance(code, str) and is_local(code) and not exists(code, root)):
                return True
    return False


def is_local(code: str) -> bool:
    return ":" not in code.split("/")[0]


def exists(code: str, root: str) -> bool:
    return os.path.exists(os.path.join(root, code))


if __name__ == "__main__":
    answer(converted)
