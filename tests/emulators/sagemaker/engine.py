"""Owns an execution's progress: which step is next, what it runs, what came of it; refuses requests, which are the door's."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.emulators.sagemaker.definition import Definition, Invalid, Scope
from tests.emulators.sagemaker.jobs import Cloud, Job, JobFailed, JobStopped

REGION, ACCOUNT = "eu-west-1", "123456789012"
CALLER: ContextVar[str] = ContextVar("caller", default="pipeline")
"""The access key of whoever calls: it stands for a user of this name."""
ENDED = ("Succeeded", "Failed", "Stopped")


def arn(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class StepState:
    """One step of one execution, as ListPipelineExecutionSteps tells it. ``properties`` is what other steps may read."""

    name: str
    status: str
    started: datetime
    ended: datetime | None = None
    failure: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    attempts: int = 1
    reused_from: str = ""
    cached_from: str = ""


@dataclass
class Run:
    """One pipeline execution. ``selected`` are the steps that run (``None``: all); the others' states come from ``source``."""

    arn: str
    pipeline: str
    version: int
    definition: Definition
    parameters: dict[str, Any]
    request: Mapping[str, Any]
    selected: frozenset[str] | None = None
    source: Run | None = None
    status: str = "Executing"
    failure: str = ""
    created: datetime = field(default_factory=now)
    changed: datetime = field(default_factory=now)
    display_name: str = ""
    description: str = ""
    steps: dict[str, StepState] = field(default_factory=dict)
    outcomes: dict[str, bool] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]


class Engine:
    """Runs executions on threads of their own. ``registers`` makes a model package of a step's resolved arguments."""

    def __init__(self, cloud: Cloud, registers: Callable[[dict[str, Any]], str]) -> None:
        self._cloud = cloud
        self._registers = registers
        self._lock = threading.RLock()
        self._jobs: dict[tuple[str, str], Job] = {}
        self._cache: dict[str, tuple[str, StepState]] = {}
        self.described: dict[str, dict[str, Any]] = {}

    def _emit(self, kind: str, run: Run, **detail: str) -> None:
        """As a rule of EventBridge hands an event on to a queue: at least once."""
        if not self._cloud.queue:
            return
        event = {"source": "aws.sagemaker", "detail-type": f"SageMaker Model Building Pipeline Execution {kind} Change",
                 "detail": {"pipelineArn": arn("pipeline", run.pipeline), "pipelineExecutionArn": run.arn, **detail}}  # fmt: skip
        sqs = self._cloud.client("sqs")
        queue = sqs.get_queue_url(QueueName=self._cloud.queue)["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))

    def start(self, run: Run) -> None:
        threading.Thread(target=self._drive, args=(run,), daemon=True, name=run.id).start()

    def stop(self, run: Run) -> None:
        with self._lock:
            if run.status != "Executing":
                return
            run.status = "Stopping"
            jobs = [job for (execution, _), job in self._jobs.items() if execution == run.arn]
        for job in jobs:
            job.stop()

    def retry(self, run: Run) -> None:
        """What failed, was stopped or never began runs again; what succeeded stays."""
        with self._lock:
            run.steps = {name: state for name, state in run.steps.items() if state.status == "Succeeded"}
            run.status, run.failure = "Executing", ""
        self.start(run)

    # one execution ----------------------------------------------------------------------------------------------------

    def _drive(self, run: Run) -> None:
        """Rounds of whatever is ready, in parallel, until nothing is."""
        while True:
            with self._lock:
                ready = [] if run.status != "Executing" else self._ready(run)
                for name in ready:
                    attempts = run.steps[name].attempts + 1 if name in run.steps else 1
                    run.steps[name] = StepState(name, "Executing", now(), attempts=attempts)
            if not ready:
                break
            threads = [threading.Thread(target=self._step, args=(run, name), daemon=True) for name in ready]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        with self._lock:
            failed = [state for state in run.steps.values() if state.status == "Failed"]
            run.failure = "Step failure: One or multiple steps failed." if failed else ""
            run.status = "Stopped" if run.status == "Stopping" else "Failed" if failed else "Succeeded"
            run.changed = now()
        self._emit("Status", run, currentPipelineExecutionStatus=run.status)

    def _ready(self, run: Run) -> list[str]:
        if any(state.status == "Failed" for state in run.steps.values()):
            return []
        return [name for name in run.definition.steps if name not in run.steps and self._is_ready(run, name)]

    def _is_ready(self, run: Run, name: str) -> bool:
        if run.selected is not None and name not in run.selected:
            return False
        inside = run.definition.inside.get(name)
        if inside is not None and run.outcomes.get(inside[0]) is not inside[1]:
            return False
        return all(self._has_ended(run, needed) for needed in run.definition.upstream[name])

    def _has_ended(self, run: Run, name: str) -> bool:
        if run.selected is not None and name not in run.selected:
            return True
        return name in run.steps and run.steps[name].status == "Succeeded"

    def _step(self, run: Run, name: str) -> None:
        state, step = run.steps[name], run.definition.steps[name]
        try:
            scope = self._scope(run)
            if step["Type"] == "Condition":
                run.outcomes[name] = all(scope.holds(one) for one in step["Arguments"]["Conditions"])
                state.metadata = {"Condition": {"Outcome": str(run.outcomes[name])}}
            else:
                self._carry_out(run, state, step, scope.resolved(step["Arguments"]))
            ending, failure = "Succeeded", ""
        except JobStopped:
            ending, failure = "Stopped", ""
        except (JobFailed, Invalid) as error:
            ending, failure = "Failed", f"ClientError: {error}" if isinstance(error, Invalid) else str(error)
        with self._lock:
            state.status, state.failure, state.ended, run.changed = ending, failure[:1024], now(), now()
            self._jobs.pop((run.arn, name), None)
        self._emit("Step Status", run, stepName=name, currentStepStatus=ending)

    def _carry_out(self, run: Run, state: StepState, step: Mapping[str, Any], arguments: dict[str, Any]) -> None:
        key = self._cache_key(run, step, arguments)
        if key is not None and key in self._cache:
            state.cached_from, known = self._cache[key]
            state.properties, state.metadata = known.properties, known.metadata
            return
        match step["Type"]:
            case "Processing" | "Training" as kind:
                self._job(run, state, kind, arguments)
            case "RegisterModel":
                package = self._registers(arguments)
                state.metadata = {"RegisterModel": {"Arn": package}}
                state.properties = {"ModelPackageArn": package}
            case "Model":
                made = arn("model", f"pipelines-{run.id}-{state.name}"[:60].lower())
                state.metadata, state.properties = {"Model": {"Arn": made}}, {"ModelName": made.rpartition("/")[2]}
            case "Fail":
                state.metadata = {"Fail": {"ErrorMessage": str(arguments.get("ErrorMessage", ""))}}
                raise JobFailed(str(arguments.get("ErrorMessage", "")))
        if key is not None:
            self._cache[key] = (run.arn, state)

    def _job(self, run: Run, state: StepState, kind: str, arguments: dict[str, Any]) -> None:
        name = f"pipelines-{run.id}-{state.name}"[:52] + f"-{secrets.token_hex(5)}"
        made = arn(f"{kind.lower()}-job", name)
        state.metadata = {f"{kind}Job": {"Arn": made}}
        job = Job(self._cloud, kind, name, arguments)
        with self._lock:
            self._jobs[run.arn, state.name] = job
            stopping = run.status != "Executing"
        if stopping:
            raise JobStopped
        described = {**arguments, f"{kind}JobName": name, f"{kind}JobArn": made, f"{kind}JobStatus": "InProgress",
                     "CreationTime": now()}  # fmt: skip
        self.described[name] = described
        try:
            if kind == "Processing":
                job.process()
            else:
                described["ModelArtifacts"] = {"S3ModelArtifacts": job.train()}
            described[f"{kind}JobStatus"] = "Completed"
        except (JobFailed, JobStopped) as error:
            stopped = isinstance(error, JobStopped)
            described |= {f"{kind}JobStatus": "Stopped" if stopped else "Failed", "FailureReason": str(error)[:1024]}
            raise
        finally:
            if kind == "Processing" and (words := job.last_words("message")):
                described["ExitMessage"] = words
        state.properties = described

    def _cache_key(self, run: Run, step: Mapping[str, Any], arguments: Mapping[str, Any]) -> str | None:
        if not step.get("CacheConfig", {}).get("Enabled"):
            return None
        counted = {name: value for name, value in arguments.items() if name not in ("RoleArn", "ResourceConfig")}
        text = json.dumps([run.pipeline, step["Name"], counted], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    # what steps may read ----------------------------------------------------------------------------------------------

    def state_of(self, run: Run, name: str) -> StepState | None:
        """A step's state here or, unselected, in the source execution."""
        if name in run.steps:
            return run.steps[name]
        return self.state_of(run.source, name) if run.source is not None else None

    def _scope(self, run: Run) -> Scope:
        known = {name: state.properties for name in run.definition.steps
                 if (state := self.state_of(run, name)) is not None and state.status == "Succeeded"}  # fmt: skip
        execution = {
            "PipelineName": run.pipeline, "PipelineArn": arn("pipeline", run.pipeline),
            "PipelineExecutionId": run.id, "PipelineExecutionArn": run.arn,
            "StartDateTime": run.created.isoformat(), "CurrentDateTime": now().isoformat(),
        }  # fmt: skip
        return Scope(run.parameters, execution, known, lambda step, name: self._property_file(run, known, step, name))

    def _property_file(self, run: Run, known: Mapping[str, Any], step: str, name: str) -> Any:
        files = {one["PropertyFileName"]: one for one in run.definition.steps[step].get("PropertyFiles", [])}
        if name not in files or step not in known:
            raise Invalid(f"step {step} has no property file {name}")
        outputs = known[step]["ProcessingOutputConfig"]["Outputs"]
        uri = next(one["S3Output"]["S3Uri"] for one in outputs if one["OutputName"] == files[name]["OutputName"])
        bucket, _, key = f"{uri.rstrip('/')}/{files[name]['FilePath']}".removeprefix("s3://").partition("/")
        s3 = self._cloud.client("s3")
        try:
            return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
        except s3.exceptions.NoSuchKey as error:
            raise Invalid(f"property file {name}: there is no s3://{bucket}/{key}") from error
