"""Owns the verbs that need no server: init, validate, plan, explain; refuses to run or to store anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.bootstrap import here as bootstrap
from service.cli.output import DECISION_STYLE, WORK_TO_DO, messages, print_json, results
from service.cli.skeleton import skeleton
from service.domain.errors import Refused
from service.domain.names import short, shown
from service.domain.plan import Decision, Plan, Step, make_plan, presumed
from service.domain.plan_document import document
from service.domain.step_key import abbreviated

app = typer.Typer()

Repo = Annotated[Path, typer.Option("--repo", help="A checkout or a bare repository.", show_default="here")]
Base = Annotated[
    str | None,
    typer.Option("--base", help="Taken as if it had succeeded; default: the merge-base with the default branch."),
]
Head = Annotated[str, typer.Option("--head", help="The commit to plan.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Only = Annotated[str | None, typer.Option("--pipeline", help="Only this pipeline.")]


@app.command()
def init(repo: Repo = Path(), force: Annotated[bool, typer.Option("--force", help="Overwrite.")] = False) -> None:
    """Write a first refit.yaml from the scripts that the repository has."""
    target = repo / "refit.yaml"
    if target.exists() and not force:
        raise Refused(f"writing {target}: it exists; --force overwrites it")
    text = skeleton(repo)
    target.write_text(text, encoding="utf-8")
    messages.print(f"wrote {target}; edit it, then: refit validate && refit plan", markup=False)


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="The manifest.")] = Path("refit.yaml"),
    as_json: Json = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print its JSON Schema (draft 07) instead.")] = False,
) -> None:
    """Check a refit.yaml and show every mistake at once, each with its path in the file."""
    if schema:
        return print_json(bootstrap.manifest_schema())
    try:
        content = file.read_bytes()
    except OSError as error:
        hint = "; `refit init` writes a first one" if isinstance(error, FileNotFoundError) else ""
        raise Refused(f"reading {file}: {error.strerror}{hint}") from error
    with bootstrap.reader() as reader:
        manifest = reader.manifest(content, bootstrap.known_backends())
    found = {p.name: [c.name for c in p.components] for p in manifest.pipelines}
    if as_json:
        print_json({"valid": True, "pipelines": found})
    else:
        for pipeline in manifest.pipelines:
            told = f"as {pipeline.native.path} declares it" if pipeline.native else " → ".join(found[pipeline.name])
            results.print(f"{pipeline.name}: {told}", markup=False)
    return None


@app.command()
def plan(
    repo: Repo = Path(),
    base: Base = None,
    head: Head = "HEAD",
    pipeline: Only = None,
    as_json: Json = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit with 3 if anything would run.")] = False,
) -> None:
    """Show what a commit would run, what it would reuse, and why."""
    plans = _plans(repo, base, head, pipeline)
    if as_json:
        print_json(document(plans))
    else:
        for one in plans:
            _show(one)
    if exit_code and any(step.decision is not Decision.REUSE for one in plans for step in one.steps):
        raise typer.Exit(WORK_TO_DO)


@app.command()
def explain(
    component: Annotated[str, typer.Argument(help="The component, or pipeline/component.")],
    repo: Repo = Path(),
    base: Base = None,
    head: Head = "HEAD",
    as_json: Json = False,
) -> None:
    """Show everything in a component's step key, and the evidence for its decision."""
    only, _, name = component.rpartition("/")
    plans = _plans(repo, base, head, only or None)
    found = [step for one in plans for step in one.steps if step.component.name == name]
    if not found:
        names = ", ".join(step.component.name for one in plans for step in one.steps)
        raise Refused(f"explaining {component}: refit.yaml has no such component; it has {names}")
    if as_json:
        print_json(
            [
                {"component": s.component.name, "decision": s.decision.value, "key": s.key, "static_key": s.static_key,
                 "parts": [
                     {"kind": p.kind.value, "subject": shown(p.subject), "value": shown(p.value)}
                     for p in s.ingredients.parts
                 ]}
                for s in found
            ]
        )  # fmt: skip
        return
    for step in found:
        _explain(step)


def _plans(repo: Path, base: str | None, head: str, only: str | None) -> list[Plan]:
    with bootstrap.checkout(repo) as here:
        head_sha = here.repository.resolve(head)
        base_sha = here.repository.resolve(base) if base else here.default_base(head_sha)
        if head == "HEAD" and (changed := here.repository.uncommitted()):
            files = "1 file is" if changed == 1 else f"{changed} files are"
            messages.print(f"{files} changed and not committed: a plan is of a commit", style="dim")
        if base_sha is None:
            shallow = "; this clone is shallow, `git fetch --unshallow` completes it" if here.is_shallow else ""
            messages.print(f"no base to compare with: everything counts as new{shallow}", style="dim", markup=False)
        findings = here.assessor.findings(here.name, here.repository, head_sha, base_sha)
        chosen = [p for p in findings.after.manifest.pipelines if only in (None, p.name)]
        if not chosen:
            names = ", ".join(p.name for p in findings.after.manifest.pipelines) or "none"
            raise Refused(f"planning {only or 'anything'}: refit.yaml at {short(head_sha)} declares {names}")
        return [
            make_plan(
                p,
                findings.after,
                presumed(p, findings.before),
                base=base_sha,
                head=head_sha,
                before=findings.before,
            )
            for p in chosen
        ]


def _show(one: Plan) -> None:
    against = f" against {short(one.base)}" if one.base else ""
    table = Table(
        title=f"{one.pipeline.name} at {short(one.head)}{against}", title_justify="left", box=None, pad_edge=False
    )
    for heading in ("step", "decision", "why"):
        table.add_column(heading, overflow="fold")
    for step in one.steps:
        style = DECISION_STYLE[step.decision.value]
        why = "\n".join(escape(reason.detail) for reason in step.reasons)
        table.add_row(escape(step.component.name), f"[{style}]{step.decision.value}[/]", why)
    for name in one.removed:
        table.add_row(escape(name), "[dim]removed[/]", "no longer declared")
    results.print(table)
    for step in one.steps:
        for note in step.ingredients.notes:
            messages.print(f"note: {step.component.name}: {note}", style="dim", markup=False)


def _explain(step: Step) -> None:
    results.print(
        f"{step.component.name}: {step.decision.value}", style=DECISION_STYLE[step.decision.value], markup=False
    )
    results.print(f"key {step.key or '(known once its upstream has run)'}", markup=False)
    changed = {(reason.kind, reason.subject): reason for reason in step.reasons}
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "subject", "value", "was"):
        table.add_column(heading, overflow="fold")
    for part in step.ingredients.parts:
        reason = changed.pop((part.kind.value, shown(part.subject)), None)
        was = abbreviated(reason.old) if reason else ""
        table.add_row(part.kind.value, escape(shown(part.subject)), escape(abbreviated(part.value)), escape(was),
                      style="yellow" if reason else None)  # fmt: skip
    results.print(table)
    for reason in changed.values():
        results.print(f"{reason.kind}: {reason.detail}", markup=False)
    for note in step.ingredients.notes:
        results.print(f"note: {note}", markup=False, style="dim")
