"""Owns the verb ``run``: a plan carried out here, without any server; refuses to decide or to store differently."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from service.bootstrap import local as bootstrap
from service.cli.logs import log_to_stderr
from service.cli.output import (
    ERROR,
    EXECUTION_FAILED,
    GATE_FAILED,
    INTERRUPTED,
    STATE_STYLE,
    messages,
    print_json,
    results,
)
from service.domain.execution import Execution, Status
from service.domain.names import short
from service.domain.report import error, why

app = typer.Typer()


@app.command()
def run(
    repo: Annotated[
        Path, typer.Option("--repo", help="A checkout or a bare repository.", show_default="here")
    ] = Path(),
    head: Annotated[str, typer.Option("--head", help="The commit to run.")] = "HEAD",
    pipeline: Annotated[str | None, typer.Option("--pipeline", help="Only this pipeline.")] = None,
    force: Annotated[
        list[str] | None, typer.Option("--force", help="Run this component whatever the past; repeatable.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Run what a commit needs and nothing else, here; earlier runs in this repository are reused."""
    log_to_stderr(quiet=True)
    with bootstrap.local_run(repo) as local:
        started = local.start(head, pipeline, tuple(force or ()))
        ended = _watch(local, [execution.id for execution in started])
        if as_json:
            print_json([_summary(one) for one in ended])
        else:
            results.print(_table(ended))
            for one in ended:
                for step in one.steps:
                    if step.state.value == "failed":
                        results.print(f"{step.name} failed:\n{error(step)}", style="red", markup=False)
                for verdict in one.verdicts:
                    style = "green" if verdict.passed else "bold red"
                    results.print(f"gate {verdict.gate}: {verdict.detail}", style=style, markup=False)
    statuses = {one.status for one in ended}
    if Status.FAILED in statuses:
        steps_failed = any(one.status is Status.FAILED and not one.is_satisfied for one in ended)
        raise typer.Exit(EXECUTION_FAILED if steps_failed else GATE_FAILED)
    if statuses - {Status.SUCCEEDED}:
        raise typer.Exit(ERROR)


def _watch(local: bootstrap.LocalRun, ids: list[str]) -> list[Execution]:
    with Live(console=messages, refresh_per_second=8, transient=True) as live:
        try:
            while True:
                now = local.look(ids)
                live.update(_table(now))
                if all(one.ended_at for one in now):
                    return now
                time.sleep(0.15)
        except KeyboardInterrupt:
            messages.print("cancelling …")
            local.cancel(ids, "interrupted")
            raise typer.Exit(INTERRUPTED) from None


def _table(executions: list[Execution]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("pipeline", "commit", "step", "outcome", "why"):
        table.add_column(heading, overflow="fold")
    for one in executions:
        for step in one.steps:
            style = STATE_STYLE[step.state.value]
            table.add_row(
                escape(one.pipeline.name),
                short(one.commit),
                escape(step.name),
                f"[{style}]{step.state.value}[/]",
                escape(why(step)),
            )
    return table


def _summary(one: Execution) -> dict[str, object]:
    return {
        "id": one.id,
        "pipeline": one.pipeline.name,
        "commit": one.commit,
        "status": one.status.value,
        "gates": [{"gate": v.gate, "passed": v.passed, "detail": v.detail} for v in one.verdicts],
        "steps": [
            {
                "component": step.name,
                "decision": (step.decision or step.planned).value,
                "state": step.state.value,
                "reasons": [{"kind": r.kind, "subject": r.subject, "detail": r.detail} for r in step.reasons],
                "key": step.key,
                "outputs": dict(step.result.outputs) if step.result else {},
            }
            for step in one.steps
        ],
    }
