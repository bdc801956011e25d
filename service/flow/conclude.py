"""Owns execution → lineage: the record of each finished step and each reuse, the gates, the model; refuses to observe."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

from service.domain.acts import Promote, Record
from service.domain.execution import Execution, StepRun
from service.domain.gates import Baseline
from service.domain.gates import judge as gate_verdicts
from service.domain.lineage import InputRecord, ModelVersion, Promotion, ResultRecord
from service.domain.model_status import ModelStatus
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


def judge(work: Work, execution: Execution) -> Execution:
    """The execution with what its gates say, once every step has its result; a failed gate makes it a failure."""
    gates = execution.pipeline.gates
    if not gates or not execution.is_satisfied:
        return execution
    known = None
    for ref in execution.targets:
        known = known or work.executions.last_success(execution.repository, execution.pipeline.name, ref, execution.id)
    baseline = Baseline(known.id, known.commit, measured(work, known)) if known else None
    return replace(execution, verdicts=gate_verdicts(gates, measured(work, execution), baseline))


def measured(work: Work, execution: Execution) -> dict[str, float]:
    """Every metric that stands for this commit, measured here or by the results that it reuses: ``rmse``, and
    ``evaluate.rmse`` where several components measure one."""
    metrics: dict[str, float] = {}
    for step in execution.steps:
        made = work.lineage.get(step.result.id) if step.result else None
        for name, value in made.metrics.items() if made else ():
            metrics |= {name: value, f"{step.name}.{name}": value}
    return metrics


def register(work: Work, execution: Execution, now: datetime) -> ModelVersion | None:
    """Register the declared model when every step has its result and every gate has passed. A pull request registers
    nothing: merging it does, without running anything. A model that is registered already is not repeated."""
    wanted = execution.pipeline.register
    if wanted is None or not _may_register(execution):
        return None
    result = execution.step(wanted.component).result
    if result is None or wanted.output not in result.outputs:
        return None
    digest = result.outputs[wanted.output]
    if any(model.repository == execution.repository for model in work.models.all(wanted.model, digest)):
        return None
    gates = "; ".join(verdict.detail for verdict in execution.verdicts)
    return work.models.register(
        _candidate(work, execution, wanted.model, result.id, wanted.output, digest, now),
        by=execution.author,
        why=f"its gates passed: {gates}" if gates else "no gate is declared",
    )


def register_native(work: Work, execution: Execution, now: datetime) -> list[ModelVersion]:
    """Note the versions that a native definition has registered with its vendor itself, under the same conditions as above;
    each once, whichever commits it goes on standing for."""
    if execution.pipeline.native is None or not _may_register(execution):
        return []
    made = []
    for step in execution.steps:
        component = step.ingredients.component
        record = work.lineage.get(step.result.id) if step.result and component.native else None
        if record is None or not component.native or component.native.kind != "RegisterModel" or not record.job:
            continue  # in a branch that was not taken nothing was registered
        name = dict(component.settings).get("ModelPackageGroupName", "")
        name = name if re.fullmatch(r"[A-Za-z0-9-]{1,63}", name) else execution.pipeline.name
        if any(model.result == record.id for model in work.models.all(name)):
            continue
        output, digest = _registered(execution, step)
        version = _candidate(work, execution, name, record.id, output, digest, now)
        made.append(work.models.register(version, by=execution.author, why=f"the definition registered {record.job}"))
    return made


def _may_register(execution: Execution) -> bool:
    return execution.pull_request is None and execution.is_satisfied and not execution.failed_gates


def _candidate(
    work: Work, execution: Execution, name: str, result: str, output: str, digest: str, now: datetime
) -> ModelVersion:
    """A version of the model ``name`` with what the execution measured; the store numbers it."""
    return ModelVersion(
        name=name,
        version=0,
        repository=execution.repository,
        result=result,
        output=output,
        digest=digest,
        execution=execution.id,
        commit=execution.commit,
        status=ModelStatus.CANDIDATE,
        created_at=now,
        metrics={metric: value for metric, value in measured(work, execution).items() if "." not in metric},
    )


def _registered(execution: Execution, step: StepRun) -> tuple[str, str]:
    """Output and digest of the model that a step registers: what it reads of a training step, else anything but an order."""
    reads = [one for _, one in step.ingredients.component.inputs if isinstance(one, UpstreamInput)]
    reads.sort(key=lambda one: (one.output != "model", one.output == "done"))
    for one in reads:
        result = execution.step(one.component).result
        if result is not None and one.output in result.outputs:
            return one.output, result.outputs[one.output]
    return "", f"sha256:{step.key}"


def _source(execution: Execution, source: Input) -> str:
    match source:
        case RepositoryInput(path=path):
            return f"git:{path}"
        case UriInput(uri=uri):
            return f"uri:{uri}"
        case UpstreamInput(component=component, output=output):
            result = execution.step(component).result
            return f"result:{result.id if result else ''}#{output}"
