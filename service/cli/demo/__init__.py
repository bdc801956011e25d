"""Owns the verb ``demo``: a story of pushes told live against the real service; refuses to decide or to fake anything."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from service.cli.demo.show import ending, progress, show_error
from service.cli.demo.stage import Stage
from service.cli.demo.story import Played, story
from service.cli.output import ERROR, messages, print_json, results
from service.cli.watching import show_lineage
from service.domain.errors import Refused

app = typer.Typer()
SOURCE = Path(__file__).resolve().parents[3] / "pipelines" / "diamonds"


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the service running at the end, until Ctrl-C.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where everything goes; default: a temporary folder.")
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", help="Where the steps run: local, or one that REFIT_BACKENDS declares.")
    ] = "local",
    as_json: Annotated[bool, typer.Option("--json", help="What happened, as one JSON document on stdout.")] = False,
) -> None:
    """Watch commits become decisions, runs, reuse and lineage, on this machine, for real."""
    if not SOURCE.is_dir():
        raise Refused("starting the demo: pipelines/diamonds is not here; run it from a checkout: python3 run.py demo")
    began = time.monotonic()
    with Stage(SOURCE, folder, backend=backend) as stage:
        messages.print(f"A git server and Refit are running: {stage.url}\n", style="bold", markup=False)
        played: list[Played] = []
        for number, chapter in enumerate(story(), 1):
            messages.rule(f"{number}. {chapter.title}", align="left", style="dim")
            commit = stage.push(chapter)
            with Live(progress({}), console=messages, refresh_per_second=8, transient=True) as live:
                execution = stage.follow(commit, chapter, lambda one, live=live: live.update(progress(one)))  # type: ignore[misc]
            one = Played(chapter, commit, execution)
            messages.print(progress(execution))
            show_error(one)
            for difference in one.differences():
                messages.print(f"   not as announced: {difference}", style="bold red", markup=False)
            played.append(one)
        model = stage.newest_model()
        if as_json:
            print_json({"url": stage.url, "chapters": [one.document() for one in played], "model": model})
        else:
            results.print(ending(played, time.monotonic() - began))
            if model:
                results.print(f"\nLineage of {model['name']} v{model['version']}:", style="bold", markup=False)
                show_lineage(stage.lineage(model))
        wrong = [one for one in played if one.differences()]
        _farewell(stage, keep)
    if wrong:
        messages.print(f"{len(wrong)} of {len(played)} pushes were decided otherwise than announced", style="bold red")
        raise typer.Exit(ERROR)


def _farewell(stage: Stage, keep: bool) -> None:
    if not keep:
        messages.print("\nNext: `python3 run.py demo --keep` leaves it running to look around; README.md has the tour.")
        return
    messages.print(f"\nIt keeps running until Ctrl-C. Look around:\n  pages       {stage.url}/", markup=False)
    messages.print(f"  API         curl {stage.url}/api/v1/executions", markup=False)
    messages.print(f"  repository  {stage.work}  (commit and `git push`: the webhook follows)", markup=False)
    messages.print(f"  CLI         REFIT_SERVER={stage.url} python3 run.py status", markup=False)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        messages.print("stopping …")
