"""Owns the verbs that look: status, logs, lineage; refuses to ask anything but the REST API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.client import Client, client
from service.cli.output import EXECUTION_FAILED, GATE_FAILED, STATE_STYLE, messages, print_json, results
from service.domain.names import short, shown

app = typer.Typer()

Server = Annotated[
    str | None,
    typer.Option(
        "--server",
        help="The server's URL; default: REFIT_SERVER, else the one running here, else what `refit run` did.",
    ),
]
Repo = Annotated[Path, typer.Option("--repo", help="The checkout whose local history is meant.", show_default="here")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.command()
def status(
    execution: Annotated[str | None, typer.Argument(help="An execution; default: the newest ones.")] = None,
    branch: Annotated[str, typer.Option(help="Only this branch.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=100)] = 20,
    server: Server = None,
    repo: Repo = Path(),
    as_json: Json = False,
) -> None:
    """Show the newest executions, or one with its steps and why each ran or was reused."""
    with client(server, repo) as api:
        found = (
            api.get(f"/executions/{quote(execution)}")
            if execution
            else api.get("/executions", branch=branch, limit=limit)
        )
    if as_json:
        print_json(found)
    elif execution:
        show_execution(found)
    else:
        _list(found["items"])
    if execution and found["status"] == "failed":
        raise typer.Exit(GATE_FAILED if only_gates_failed(found) else EXECUTION_FAILED)


@app.command()
def logs(
    execution: Annotated[str, typer.Argument(help="The execution.")],
    step: Annotated[str, typer.Argument(help="The step (component).")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Until the step ends.")] = False,
    server: Server = None,
    repo: Repo = Path(),
) -> None:
    """Print what a step wrote, line by line with its time, also while it runs."""
    path = f"/executions/{quote(execution)}/logs"
    with client(server, repo) as api:
        for line in _followed(api, path, step) if follow else _paged(api, path, step):
            stream = line["stream"].removeprefix("std")
            results.print(f"{line['at'][11:23]} {stream:5} {shown(line['text'])}", markup=False)


def _followed(api: Client, path: str, step: str) -> Iterator[dict[str, Any]]:
    return (data for event, data in api.events(path, step=step) if event == "line")


def _paged(api: Client, path: str, step: str) -> Iterator[dict[str, Any]]:
    after, more = 0, True
    while more:
        page = api.get(path, step=step, after=after, limit=1000)
        yield from page["items"]
        more = len(page["items"]) == 1000
        after = page["items"][-1]["number"] if page["items"] else after


@app.command()
def lineage(
    subject: Annotated[str, typer.Argument(help="A commit, a model (name/version), a result id, or sha256:….")],
    server: Server = None,
    repo: Repo = Path(),
    as_json: Json = False,
) -> None:
    """Show what a commit made, or every commit, component and datum that made a model or an artifact."""
    with client(server, repo) as api:
        found = api.get("/lineage", **_question(subject))
    if as_json:
        print_json(found)
    else:
        show_lineage(found)


def _question(subject: str) -> dict[str, str]:
    if subject.startswith("sha256:"):
        return {"digest": subject}
    name, _, version = subject.rpartition("/")
    if name and version.isdigit():
        return {"model": subject}
    return {"commit": subject} if all(c in "0123456789abcdef" for c in subject) else {"result": subject}


def _list(items: list[dict[str, Any]]) -> None:
    if not items:
        messages.print("no executions yet; push a commit, or try `refit run`", style="dim")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("execution", "status", "pipeline", "commit", "ref", "message"):
        table.add_column(heading, overflow="fold")
    for one in items:
        style = STATE_STYLE.get(one["status"], "yellow")
        table.add_row(one["id"], f"[{style}]{one['status']}[/]", escape(shown(one["pipeline"])), short(one["commit"]),
                      escape(shown(one["ref"].removeprefix("refs/heads/"))), escape(shown(one["message"])))  # fmt: skip
    results.print(table)


def show_execution(one: dict[str, Any]) -> None:
    """One execution with its steps, for people."""
    results.print(f"{one['id']}  {one['pipeline']} at {short(one['commit'])}: {one['status']}", markup=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("step", "decision", "outcome", "seconds", "why"):
        table.add_column(heading, overflow="fold")
    for step in one["steps"]:
        style = STATE_STYLE.get(step["state"], "")
        why = "\n".join(escape(shown(reason["detail"])) for reason in step["reasons"])
        seconds = f"{step['seconds']:.1f}" if step.get("seconds") is not None else ""
        table.add_row(
            escape(step["component"]), step["decision"] or step["planned"], f"[{style}]{step['state']}[/]", seconds, why
        )
    results.print(table)
    for gate in one["gates"]:
        style = "green" if gate["passed"] else "bold red"
        results.print(f"gate {gate['gate']}: {shown(gate['detail'])}", markup=False, style=style)
    for step in one["steps"]:
        if step["state"] == "failed" and step["attempts"]:
            results.print(step["attempts"][-1]["error"], markup=False, style="red")


def only_gates_failed(one: dict[str, Any]) -> bool:
    """Whether every step has its result and a gate is what failed the execution."""
    return not any(step["state"] == "failed" for step in one["steps"])


def show_lineage(graph: dict[str, Any]) -> None:
    """A lineage graph as indented text: each result with what it read and made."""
    labels = {node["id"]: node for node in graph["nodes"]}
    for node in graph["nodes"]:
        if node["kind"] != "result":
            continue
        results.print(node["label"], style="bold", markup=False)
        for edge in graph["edges"]:
            other = (
                edge["source"]
                if edge["target"] == node["id"]
                else edge["target"]
                if edge["source"] == node["id"]
                else None
            )
            if other in labels:
                verb = {"of": "commit", "promoted": "also satisfies"}.get(edge["kind"], edge["kind"])
                detail = labels[other]["detail"][:26]
                results.print(f"  {verb:15} {shown(labels[other]['label'])}  {shown(detail)}", markup=False)
    for edge in graph["edges"]:
        if edge["kind"] == "registered":
            results.print(f"model {labels[edge['target']]['label']}", style="bold green", markup=False)
