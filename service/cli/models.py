"""Owns the verb family ``model``: list, show, approve, reject, rollback; refuses to judge a version itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.client import client
from service.cli.output import STATE_STYLE, messages, print_json, results
from service.cli.watching import Json, Repo, Server
from service.domain.errors import Refused
from service.domain.names import short, shown

app = typer.Typer()
models = typer.Typer(no_args_is_help=True, help="List, approve, reject and roll back registered model versions.")
app.add_typer(models, name="model")

Version = Annotated[str, typer.Argument(help="NAME/VERSION, as `refit model list` shows it.")]
Why = Annotated[str, typer.Option("--why", help="Kept with who said it and when.")]


@models.command("list")
def model_list(
    name: Annotated[str, typer.Argument(help="Only this model.")] = "",
    server: Server = None,
    repo: Repo = Path(),
    as_json: Json = False,
) -> None:
    """List model versions with their status and metrics."""
    with client(server, repo) as api:
        found = api.get("/models", name=name)
    if as_json:
        print_json(found)
    elif not found["items"]:
        messages.print("no model is registered yet: `register:` in refit.yaml names one", style="dim")
    else:
        _list(found["items"])


@models.command("show")
def model_show(version: Version, server: Server = None, repo: Repo = Path(), as_json: Json = False) -> None:
    """Show one version: its figures, where it comes from, and who said what about it."""
    with client(server, repo) as api:
        found = api.get(_path(version))
    print_json(found) if as_json else _show(found)


@models.command("approve")
def model_approve(
    version: Version, why: Why, server: Server = None, repo: Repo = Path(), as_json: Json = False
) -> None:
    """Approve a version: from now on it is the one in use."""
    _act(version, "approve", why, server, repo, as_json)


@models.command("reject")
def model_reject(version: Version, why: Why, server: Server = None, repo: Repo = Path(), as_json: Json = False) -> None:
    """Reject a candidate."""
    _act(version, "reject", why, server, repo, as_json)


@models.command("rollback")
def model_rollback(
    version: Version, why: Why, server: Server = None, repo: Repo = Path(), as_json: Json = False
) -> None:
    """Take an approved version back: the one approved before it is in use again."""
    _act(version, "rollback", why, server, repo, as_json)


def _act(version: str, act: str, why: str, server: str | None, repo: Path, as_json: bool) -> None:
    with client(server, repo) as api:
        found = api.post(f"{_path(version)}/{act}", {"why": why})
    print_json(found) if as_json else _show(found)


def _path(text: str) -> str:
    name, _, number = text.rpartition("/")
    if not name or not number.isdigit():
        raise Refused(f"looking for model {text}: give NAME/VERSION, such as diamonds-price/3")
    return f"/models/{quote(name, safe='')}/{number}"


def _list(items: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "status", "in use", "commit", "metrics"):
        table.add_column(heading, overflow="fold")
    for one in items:
        table.add_row(escape(f"{one['name']}/{one['version']}"), _status(one), "yes" if one["in_use"] else "",
                      short(one["commit"]), escape(_figures(one)))  # fmt: skip
    results.print(table)


def _show(one: dict[str, Any]) -> None:
    results.print(f"{escape(one['name'])}/{one['version']}: {_status(one)}{', in use' if one['in_use'] else ''}")
    results.print(f"  commit {short(one['commit'])}, execution {one['execution']}, {_figures(one)}", markup=False)
    for event in one["events"]:
        results.print(
            f"  {event['at'][:19]}  {event['status']:11} {shown(event['by'])}: {shown(event['why'])}", markup=False
        )


def _status(one: dict[str, Any]) -> str:
    return f"[{STATE_STYLE.get(one['status'], 'yellow')}]{one['status'].replace('_', ' ')}[/]"


def _figures(one: dict[str, Any]) -> str:
    return ", ".join(f"{shown(name)} {value:.5g}" for name, value in sorted(one["metrics"].items()))
