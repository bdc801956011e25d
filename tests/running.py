"""Owns an execution that is in the middle of a step, moved by hand; refuses a worker."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from service.adapters.backends.local.logs import LogWriter
from service.domain.execution import Attempt, Execution, Seen, State, StepRun
from tests.web.site import NOW, Site

ID = "0000000005e"


class Running:
    """``train`` runs, and writes what a test says; ``evaluate`` waits."""

    def __init__(self, site: Site, like: str) -> None:
        self._site = site
        with site.store.begin() as work:
            before = work.executions.get(like)
        assert before is not None
        steps = [self._step(one) for one in before.steps]
        self._now = replace(before, id=ID, trigger=f"guid-{ID}", commit="5" * 40, created_at=NOW + timedelta(hours=9),
                            steps=tuple(steps))  # fmt: skip
        with site.store.begin() as work:
            work.executions.add(replace(self._now, ended_at=None))
        self.attempt(1)

    @staticmethod
    def _step(one: StepRun) -> StepRun:
        return one if one.name == "preprocess" else replace(one, state=State.WAITING, attempts=(), result=None)

    def attempt(self, number: int) -> None:
        """The next attempt begins."""
        token = f"{ID}.train.{number}"
        made = Attempt(number, token, token, Seen.RUNNING, "", None, NOW + timedelta(hours=9), None)
        self._change("train", state=State.RUNNING, attempts=(*self._now.step("train").attempts, made))
        folder = self._site.local / "runs" / token
        folder.mkdir(parents=True)
        self._log = LogWriter(folder / "log.jsonl")

    def write(self, text: str) -> None:
        self._log.write("stdout", text)

    def end(self, step: str = "train", state: State = State.SUCCEEDED) -> None:
        attempts = self._now.step(step).attempts
        ended = tuple(replace(one, seen=Seen.SUCCEEDED, ended_at=NOW + timedelta(hours=10)) for one in attempts)
        self._change(step, state=state, attempts=ended)

    def end_all(self) -> None:
        self.end("evaluate")
        self._save(replace(self._now, ended_at=NOW + timedelta(hours=10)))

    def _change(self, step: str, **changes: object) -> None:
        self._save(replace(self._now, steps=tuple(
            replace(one, **changes) if one.name == step else one for one in self._now.steps)))  # type: ignore[arg-type]  # fmt: skip

    def _save(self, made: Execution) -> None:
        self._now = made
        with self._site.store.begin() as work:
            work.executions.save(made)
