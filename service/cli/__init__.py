"""The ``refit`` command, one file for each family of verbs; refuses rules: it asks, shows and exits.

Only the family of the verb that was called is imported, so that ``plan`` does not pay for the server.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import typer

from service.cli.output import ERROR, INTERRUPTED, fail
from service.domain.errors import InvalidManifest, Refused, Retry

VERBS = {
    "init": "planning",
    "validate": "planning",
    "plan": "planning",
    "explain": "planning",
    "run": "running",
    "status": "watching",
    "logs": "watching",
    "lineage": "watching",
    "model": "models",
    "serve": "serving",
    "worker": "serving",
    "doctor": "serving",
    "token": "serving",
    "demo": "demo",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every failure is one clear message on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _app(given)(args=given)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else ERROR
    except InvalidManifest as error:
        return fail("refit.yaml cannot be used:\n" + "\n".join(f"  {mistake}" for mistake in error.mistakes), ERROR)
    except (Refused, Retry) as error:
        return fail(error.reason, ERROR)
    except KeyboardInterrupt:  # before the verb's own handling: its family is being imported
        return INTERRUPTED
    return 0


def _app(given: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        name="refit",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Refit re-runs the ML pipeline steps that a commit really changed, and remembers why.",
    )
    app.callback()(_root)
    verb = next((word for word in given if not word.startswith("-")), "")
    families = [VERBS[verb]] if verb in VERBS else list(dict.fromkeys(VERBS.values()))
    for family in families:
        app.add_typer(importlib.import_module(f"service.cli.{family}").app)
    return app


def _root() -> None:
    """Refit re-runs the ML pipeline steps that a commit really changed, and remembers why."""
