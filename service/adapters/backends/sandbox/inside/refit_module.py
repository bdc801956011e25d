"""Owns what every compile inside the sandbox does, whatever the SDK: a module of the checkout imported, called twice and at two
different times, its last words; refuses to know an SDK. Runs in the SDK's environment, so the standard library is all that it
imports.
"""

import datetime
import importlib
import importlib.util
import inspect
import json
import os
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

_LATER = datetime.timedelta(days=403, hours=7, minutes=13, seconds=31, microseconds=617_283)
"""How much later the second call believes to be: no field of a date stays what it was."""


_OWN_CLOCK = ("azure", "botocore", "dateutil", "isodate", "marshmallow", "msrest", "pydantic", "yaml")
"""Libraries that compare the classes of dates and say nothing of the time themselves."""


class Unusable(Exception):
    """The module has no function that can be called; the text says what to do."""


def answer(compiled: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Read the request, answer what ``compiled`` makes of it or its last words, and end the process: threads and handlers of
    the repository's code have no say in it."""
    request_path, answer_path = sys.argv[1:3]
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    try:
        found = compiled(request)
    except Unusable as problem:
        found = {"error": str(problem)}
    except BaseException as error:  # whatever the repository's code raises, SystemExit too
        found = {"error": last_lines(error, request["root"])}
    with open(answer_path, "w", encoding="ascii") as file:
        json.dump(found, file)
    sys.stdout.flush()
    os._exit(0)


def twice(root: str, make: Callable[[], Any]) -> list[Any]:
    """What ``make`` gives now and, with the checkout's modules imported anew, on another day."""
    found = [make()]
    forget(root)
    pass_time()
    return [*found, make()]


def forget(root: str) -> None:
    """Have the checkout's modules imported anew when they are asked for again."""
    for name in set(sys.modules):
        if is_below(getattr(sys.modules[name], "__file__", None), root):
            del sys.modules[name]


def imported(path: str, root: str) -> Any:
    """Import the module under the name that the repository's own imports would give it."""
    folder, name = os.path.split(path[: -len(".py")])
    top, parts = folder, [name]
    while top and os.path.exists(os.path.join(root, top, "__init__.py")):
        top, part = os.path.split(top)
        parts.insert(0, part)
    if len(parts) == 1 and all(part.isidentifier() for part in path[: -len(".py")].split("/")):
        top, parts = "", path[: -len(".py")].split("/")  # namespace packages, as `python -m` from the root has them
    for place in dict.fromkeys((folder, "src", "", top)):
        at = os.path.normpath(os.path.join(root, place))
        if at not in sys.path:
            sys.path.insert(0, at)
    if all(part.isidentifier() for part in parts):
        return importlib.import_module(".".join(parts))
    spec = importlib.util.spec_from_file_location("pipeline", os.path.join(root, path))
    assert spec is not None, "it ends with .py"
    assert spec.loader is not None, "it ends with .py"
    module = importlib.util.module_from_spec(spec)
    sys.modules["pipeline"] = module
    spec.loader.exec_module(module)
    return module


def arguments(make: Any, said: dict[str, Any], always: dict[str, Any], if_needed: dict[str, Any]) -> dict[str, Any]:
    """What a function takes of what Refit knows (``always`` if it takes it, the rest ``if_needed``), and all that `with:` has
    ``said``."""
    what = getattr(make, "__name__", "the function")
    signature = inspect.signature(make)
    takes = {name for name, one in signature.parameters.items()
             if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}  # fmt: skip
    takes_any = any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values())
    unknown = sorted(set(said) - takes)
    if unknown and not takes_any:
        raise Unusable(f"`with: {unknown[0]}` is no argument of {what}; it takes {', '.join(sorted(takes)) or 'none'}")
    given: dict[str, Any] = {name: value for name, value in always.items() if name in takes} | said
    for name, one in signature.parameters.items():
        if name in takes and name not in given and one.default is one.empty:
            if name not in if_needed:
                raise Unusable(f"{what} needs {name!r}; say it in refit.yaml under `with:`")
            given[name] = if_needed[name]
    return given


def pass_time() -> None:
    """Make this process believe that it is another day: what the definition takes from the clock shows itself."""
    shift, real = (
        _LATER.total_seconds(),
        {name: getattr(time, name) for name in ("time", "time_ns", "gmtime", "localtime")},
    )

    class Later(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return super().now(tz) + _LATER

        @classmethod
        def utcnow(cls) -> Any:
            return super().utcnow() + _LATER

        @classmethod
        def today(cls) -> Any:
            return super().today() + _LATER

    class LaterDate(datetime.date):
        @classmethod
        def today(cls) -> Any:
            return super().today() + _LATER

    strftime = time.strftime
    time.time = lambda: real["time"]() + shift
    time.time_ns = lambda: real["time_ns"]() + int(shift * 1e9)
    time.gmtime = lambda at=None: real["gmtime"](time.time() if at is None else at)
    time.localtime = lambda at=None: real["localtime"](time.time() if at is None else at)
    time.strftime = lambda form, at=None: strftime(form, time.localtime() if at is None else at)
    for module in list(sys.modules.values()):  # those that say `from datetime import datetime`
        for name, old, new in (("datetime", datetime.datetime, Later), ("date", datetime.date, LaterDate)):
            if (
                getattr(module, "__dict__", {}).get(name) is old
                and module is not datetime
                and not getattr(module, "__name__", "").startswith(_OWN_CLOCK)
            ):
                setattr(module, name, new)  # fmt: skip
    datetime.datetime, datetime.date = Later, LaterDate  # type: ignore[misc]


def is_below(path: str | None, root: str) -> bool:
    return path is not None and os.path.realpath(path).startswith(root + os.sep)


def raise_loopback() -> None:
    """A network namespace of its own begins with its loopback down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as at:
        try:
            import fcntl

            fcntl.ioctl(at, 0x8914, struct.pack("16sh", b"lo", 0x1 | 0x40))  # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
        except OSError:
            pass  # the machine's own namespace: it is up


def last_lines(error: BaseException, root: str) -> str:
    """The end of the traceback, from the repository's own code on."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(root + os.sep)]
    place = f"{os.path.relpath(own[-1].filename, root)}:{own[-1].lineno}: " if own else ""
    words = "".join(traceback.format_exception_only(type(error), error)).strip()
    return place + words
