"""Owns how an execution is told to people, as Markdown and as one line; refuses to know who reads it."""

from __future__ import annotations

from dataclasses import dataclass

from service.domain.execution import Execution, State, StepRun
from service.domain.names import short, shown

LIMIT = 65_000
"""Characters: below GitHub's 65,535 for check summaries and comments."""

_WORDS = {
    State.WAITING: "waiting",
    State.RUNNING: "running",
    State.SUCCEEDED: "ran",
    State.REUSED: "reused",
    State.FAILED: "failed",
    State.BLOCKED: "blocked by upstream",
    State.CANCELLED: "cancelled",
}
_WORD = {True: "passed", False: "**failed**"}


@dataclass(frozen=True, slots=True)
class Report:
    """What is published for one execution: ``title`` on one line, ``text`` in Markdown."""

    execution: str
    repository: str
    commit: str
    pipeline: str
    status: str
    title: str
    text: str


def report(execution: Execution) -> Report:
    """The report of an execution as it stands."""
    ran = sum(step.state is State.SUCCEEDED for step in execution.steps)
    kept = sum(step.state is State.REUSED for step in execution.steps)
    title = f"{execution.pipeline.name}: {execution.status.value} · {ran} ran, {kept} reused · saved {saved(execution):.0f} s"
    rows = ["| step | outcome | why |", "|---|---|---|"]
    rows += [f"| {step.name} | {_WORDS[step.state]} | {_cell(why(step))} |" for step in execution.steps]
    text = f"**{_cell(title)}** at `{short(execution.commit)}`\n\n" + "\n".join(rows)
    if execution.verdicts:
        text += "\n\n| gate | verdict | figures |\n|---|---|---|\n"
        text += "\n".join(f"| {_cell(v.gate)} | {_WORD[v.passed]} | {_cell(v.detail)} |" for v in execution.verdicts)
    errors = [step for step in execution.steps if step.state is State.FAILED]
    for number, step in enumerate(errors):
        text += _block(step, (LIMIT - len(text)) // (len(errors) - number))
    return Report(
        execution.id,
        execution.repository,
        execution.commit,
        execution.pipeline.name,
        execution.status.value,
        title,
        text[:LIMIT],
    )


def _block(step: StepRun, room: int) -> str:
    """What a step died of, within so many characters: of a long story the end, which tells the cause."""
    head, tail = f"\n\n`{step.name}` failed:\n\n```\n", "\n```"
    said = error(step).replace("```", "´´´")
    room -= len(head) + len(tail)
    if room < len(said):
        said = "…\n" + said[len(said) - max(room - 2, 0) :]
    return head + said + tail


def why(step: StepRun) -> str:
    """The reasons of a step on one line."""
    return "; ".join(reason.detail for reason in step.reasons)


def error(step: StepRun) -> str:
    """What the last attempt died of."""
    return shown_lines(step.attempts[-1].error) if step.attempts else ""


def saved(execution: Execution) -> float:
    """Seconds of compute that reuse spared."""
    return sum(step.result.seconds for step in execution.steps if step.state is State.REUSED and step.result)


def shown_lines(text: str) -> str:
    """Several lines made safe to print."""
    return "\n".join(shown(line) for line in text.splitlines())


def _cell(text: str) -> str:
    return shown(text).replace("|", "\\|").replace("<", "&lt;")
