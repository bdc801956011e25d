"""Owns execution → lineage: the record of each finished step and each reuse; refuses to decide or to observe."""

from __future__ import annotations

from datetime import datetime

from service.domain.advance import Promote, Record
from service.domain.execution import Execution, State
from service.domain.lineage import InputRecord, ModelVersion, Promotion, ResultRecord
from service.domain.pipeline import Input, RepositoryInput, UpstreamInput, UriInput
from service.domain.step_key import PartKind
from service.ports.store import Work


def record(work: Work, execution: Execution, done: Record, now: datetime) -> None:
    """Write everything known of a successful step; repeating it changes nothing."""
    component = done.step.ingredients.component
    seen = done.observation
    read = {artifact.name: artifact for artifact in seen.inputs}
    sources = {name: _source(execution, source) for name, source in component.inputs}
    key_values = {p.subject: p.value for p in done.result.parts if p.kind is PartKind.INPUT}
    inputs = tuple(
        InputRecord(
            name=name,
            source=source,
            digest=read[name].digest if name in read else key_values.get(name, ""),
            size=read[name].size if name in read else 0,
        )
        for name, source in sources.items()
    )
    work.lineage.add(
        ResultRecord(
            id=done.result.id,
            repository=execution.repository,
            pipeline=execution.pipeline.name,
            component=component.name,
            execution=execution.id,
            commit=execution.commit,
            tree=execution.tree,
            ref=execution.ref,
            pull_request=execution.pull_request,
            author=execution.author,
            key=done.result.key,
            static_key=done.result.static_key,
            parts=done.result.parts,
            parameters={name: " ".join(texts) for name, texts in done.step.ingredients.flags},
            environment=seen.environment,
            backend=execution.pipeline.backend,
            job=seen.job,
            attempt=done.attempt.number,
            started_at=done.attempt.started_at or now,
            ended_at=done.attempt.ended_at or now,
            inputs=inputs,
            outputs=seen.outputs,
            metrics=dict(seen.metrics),
        )
    )


def promote(work: Work, execution: Execution, reuse: Promote, now: datetime) -> None:
    """Write the edge from this commit to the earlier result that satisfies it."""
    work.lineage.promote(
        Promotion(
            execution=execution.id,
            repository=execution.repository,
            pipeline=execution.pipeline.name,
            component=reuse.step.name,
            commit=execution.commit,
            ref=execution.ref,
            result=reuse.result.id,
            at=now,
        )
    )


def register(work: Work, execution: Execution, now: datetime) -> ModelVersion | None:
    """Register the declared model when every step has its result; a model that is registered already is not repeated."""
    wanted = execution.pipeline.register
    if wanted is None or not all(step.state in (State.SUCCEEDED, State.REUSED) for step in execution.steps):
        return None
    result = execution.step(wanted.component).result
    if result is None or wanted.output not in result.outputs:
        return None
    digest = result.outputs[wanted.output]
    if any(model.repository == execution.repository for model in work.models.all(wanted.model, digest)):
        return None
    metrics: dict[str, float] = {}
    for step in execution.steps:
        made = work.lineage.get(step.result.id) if step.result else None
        metrics.update(made.metrics if made else {})
    return work.models.register(
        ModelVersion(
            name=wanted.model,
            version=0,
            repository=execution.repository,
            result=result.id,
            output=wanted.output,
            digest=digest,
            execution=execution.id,
            commit=execution.commit,
            status="candidate",
            created_at=now,
            metrics=metrics,
        )
    )


def _source(execution: Execution, source: Input) -> str:
    match source:
        case RepositoryInput(path=path):
            return f"git:{path}"
        case UriInput(uri=uri):
            return f"uri:{uri}"
        case UpstreamInput(component=component, output=output):
            result = execution.step(component).result
            return f"result:{result.id if result else ''}#{output}"
