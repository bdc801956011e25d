"""Owns ready-made domain values for tests; refuses a store."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

from service.domain.delivery import Delivery, Nothing, Push
from service.domain.execution import Artifact, Execution, State, StepRun
from service.domain.ingredients import Ingredients
from service.domain.lineage import InputRecord, Promotion, ResultRecord
from service.domain.pipeline import Component, Pipeline, RepositoryInput, UpstreamInput
from service.domain.plan import Decision
from service.domain.step_key import Part, PartKind, Reason

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SHA = "9fceb02d0ae598e95dc970b74767f19372d61af8"
HOSTILE = "a\x00b\udcff‮\N{PILE OF POO}'\"\\\n;--"
_numbers = count(1)

PREPROCESS = Component("preprocess", "prep.py", inputs=(("raw", RepositoryInput("d.csv")),), outputs=("data",))
TRAIN = Component("train", "train.py", inputs=(("data", UpstreamInput("preprocess", "data")),), outputs=("model",))
PIPELINE = Pipeline("diamonds", "local", (PREPROCESS, TRAIN))


def push(guid: str = "", **changes: Any) -> Delivery:
    event = Push("acme/diamonds", "refs/heads/main", "0" * 40, SHA, False, "ada", "message")
    return Delivery(guid or f"guid-{next(_numbers):08}", "push", "", replace(event, **changes), NOW)


def nothing(guid: str = "") -> Delivery:
    return Delivery(guid or f"guid-{next(_numbers):08}", "ping", "", Nothing("acme/diamonds", "a ping"), NOW)


def step(component: Component, **changes: Any) -> StepRun:
    parts = (Part(PartKind.SOURCE, component.run, "100644 abc"),)
    ingredients = Ingredients(component, parts, (("rate", ("0.1",)),), ("a note",))
    reasons = (Reason("source", component.run, "source changed", "old", "new"),)
    return replace(
        StepRun(ingredients, Decision.RUN, Decision.RUN, reasons, f"static-{component.name}", f"key-{component.name}"),
        **changes,
    )


def execution(id: str = "", **changes: Any) -> Execution:
    """Two waiting steps; identifiers sort by the order of making."""
    name = id or f"exec-{next(_numbers):08}"
    made = Execution(
        id=name,
        repository="acme/diamonds",
        pipeline=PIPELINE,
        ref="refs/heads/main",
        commit=SHA,
        tree=SHA,
        base=None,
        author="ada",
        message="message",
        trigger=f"trigger-{name}",
        created_at=NOW,
        steps=(step(PREPROCESS), step(TRAIN)),
    )
    return replace(made, **changes)


def record(id: str = "", **changes: Any) -> ResultRecord:
    name = id or f"result-{next(_numbers):08}"
    made = ResultRecord(
        id=name,
        repository="acme/diamonds",
        pipeline="diamonds",
        component="preprocess",
        execution="exec",
        commit=SHA,
        tree=SHA,
        ref="refs/heads/main",
        pull_request=None,
        author="ada",
        key=f"key-of-{name}",
        static_key="static-preprocess",
        parts=(Part(PartKind.SOURCE, "prep.py", "100644 abc"),),
        parameters={"rate": "0.1"},
        environment="env",
        backend="local",
        job="job",
        attempt=1,
        started_at=NOW,
        ended_at=NOW.replace(second=next(_numbers) % 60),
        inputs=(InputRecord("raw", "git:d.csv", "sha256:in", 10),),
        outputs=(Artifact("data", "sha256:out", 20),),
        metrics={"rmse": 1.5},
    )
    return replace(made, **changes)


def promotion(result: str, **changes: Any) -> Promotion:
    made = Promotion("exec-p", "acme/diamonds", "diamonds", "preprocess", SHA, "refs/heads/main", result, NOW)
    return replace(made, **changes)


def ended(made: Execution, *states: State) -> Execution:
    steps = tuple(replace(one, state=state) for one, state in zip(made.steps, states, strict=True))
    return replace(made, steps=steps, ended_at=NOW)
