"""Owns the backend port on SageMaker Pipelines: a submission is one pipeline execution; refuses to keep what AWS keeps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from botocore.exceptions import ClientError

from service.adapters.backends.cloud.archives import packed
from service.adapters.backends.cloud.looks import lasting
from service.adapters.backends.cloud.names import digest
from service.adapters.backends.cloud.outputs import Index, Kept
from service.adapters.backends.cloud.specs import admit
from service.adapters.backends.sagemaker import names
from service.adapters.backends.sagemaker.archives import processing_code, training_code
from service.adapters.backends.sagemaker.aws import Bucket, Cloud, calling, code_of
from service.adapters.backends.sagemaker.compiler import Compiler
from service.adapters.backends.sagemaker.composing import PARAMETER, Composed, compose
from service.adapters.backends.sagemaker.container import places
from service.adapters.backends.sagemaker.declared import Declared
from service.adapters.backends.sagemaker.examining import examine
from service.adapters.backends.sagemaker.following import Executions
from service.adapters.backends.sagemaker.hints import Hints
from service.adapters.backends.sagemaker.loglines import Logs
from service.adapters.backends.sagemaker.native.definitions import NativeDefinitions
from service.adapters.backends.sagemaker.native.observing import NativeObserver
from service.adapters.backends.sagemaker.native.sources import Sources
from service.adapters.backends.sagemaker.native.starting import NativeStarter
from service.adapters.backends.sagemaker.native.submissions import Submissions
from service.adapters.backends.sagemaker.observing import Observer, job_of
from service.adapters.backends.sagemaker.pipelines import Pipelines, Start
from service.adapters.backends.sagemaker.registry import Registry
from service.domain.errors import Refused
from service.domain.execution import Observation
from service.domain.lineage import ModelVersion
from service.domain.model_status import Approval, ModelStatus
from service.domain.selection import Source
from service.ports.backend import LogLine, Work

_LONGEST_DESCRIPTION = 3_000


class SageMakerBackend:
    """Steps as jobs of a SageMaker pipeline. ``root`` is scratch space and locks; all state is in AWS. ``poll``: how long a
    look at an execution is good for, in seconds, when it is young and when it is old; as declared unless given."""

    def __init__(
        self,
        declared: Declared,
        root: Path,
        *,
        compiler: Compiler,
        definitions: NativeDefinitions | None = None,
        poll: tuple[float, float] | None = None,
    ) -> None:
        self._declared = declared
        self._root = root.resolve()
        self._compiler = compiler
        cloud = Cloud(declared)
        self._cloud = cloud
        self._bucket = Bucket(cloud)
        self._index = Index(self._bucket)
        self._logs = Logs(cloud)
        self._executions = Executions(cloud, poll or lasting(declared.poll_seconds))
        self._pipelines = Pipelines(cloud, self._root / "locks")
        self._observer = Observer(cloud, self._bucket, self._index, self._logs)
        self._registry = Registry(cloud)
        self._hints = Hints(cloud, self._executions)
        self._sources = Sources(cloud, self._index, self._executions)
        submissions = Submissions(self._bucket)
        self._native_observer = NativeObserver(cloud, self._bucket, self._index, self._logs, submissions)
        self._starter = (
            NativeStarter(declared, self._bucket, definitions, self._pipelines, self._sources, submissions)
            if definitions is not None
            else None
        )

    @property
    def composes(self) -> bool:
        return True

    @property
    def slots(self) -> int | None:
        return self._declared.slots

    def submit(self, works: Sequence[Work]) -> Sequence[str]:
        first = works[0]
        submission = first.submission
        admit(works, self._declared.serves)
        if any(work.ingredients.component.native for work in works):
            if self._starter is None:
                raise Refused(f"submitting {first.pipeline}: native definitions are not set up here")
            return self._starter.start(works)
        composed = compose(self._declared, works, self._kept(works))
        bundle = self._upload_bundle(first)
        code = self._upload_code(composed)
        request = composed.request(self._declared, first, bundle, code)
        display = names.display_name(first.commit, submission)
        arn = self._pipelines.start(
            Start(
                pipeline=str(request["pipeline"]),
                definition=self._compiler.compile(request),
                token=names.request_token(submission),
                display=display,
                description=f"{first.repository} {first.pipeline} at {first.commit}, submission {submission}"[
                    :_LONGEST_DESCRIPTION
                ],
                parameters={PARAMETER: self._bucket.uri(f"executions/{display}")},
                tags={"refit:repository": names.tag(first.repository), "refit:pipeline": names.tag(first.pipeline)},
            )
        )
        return [str(names.Handle(arn, step)) for step in composed.steps]

    def observe(self, handle: str) -> Observation:
        known = self._known(handle)
        look = self._executions.look(known.execution)
        if known.notes:
            return self._native_observer.observation(look, known)
        return self._observer.observation(look, known.step)

    def cancel(self, handle: str) -> None:
        known = self._known(handle)
        self._executions.forget(known.execution)
        if self._executions.look(known.execution).status in ("Stopping", "Stopped", "Succeeded", "Failed"):
            return
        with calling("stopping a pipeline execution"):
            try:
                self._cloud.sagemaker.stop_pipeline_execution(
                    PipelineExecutionArn=known.execution, ClientRequestToken=digest("stop", known.execution)
                )
            except ClientError as error:
                if code_of(error) not in ("ConflictException", "ValidationException"):
                    raise  # else it has ended, or is being stopped
        self._executions.forget(known.execution)

    def logs(self, handle: str, after: int, limit: int) -> Sequence[LogLine]:
        known = names.handle_of(handle)
        if known is None:
            return []
        row = self._executions.look(known.execution).steps.get(known.step)
        job = job_of(row) if row is not None else None
        return self._logs.lines(job.log_group, job.name, after, limit) if job is not None else []

    def holds(self, digests: Sequence[str]) -> frozenset[str]:
        return self._index.holds(digests)

    def sources(self, repository: str, pipeline: str, wanted: Mapping[str, Mapping[str, str]]) -> Sequence[Source]:
        return self._sources.find(repository, pipeline, wanted)

    def called(self, model: ModelVersion, job: str) -> str:
        """The ARN of its package is the job of the step that registers it."""
        return job

    @property
    def hears(self) -> bool:
        return self._declared.events_queue is not None

    def heard(self, seconds: float) -> Sequence[str]:
        return self._hints.heard(seconds)

    def statuses(self, versions: Collection[str]) -> Mapping[str, ModelStatus]:
        return self._registry.statuses(versions)

    def approval(self, version: str) -> Approval:
        return self._registry.approval(version)

    def settle(self, version: str, status: ModelStatus, why: str) -> None:
        self._registry.settle(version, status, why)

    def examine(self) -> Sequence[str]:
        return examine(self._cloud)

    @staticmethod
    def _known(handle: str) -> names.Handle:
        known = names.handle_of(handle)
        if known is None:
            raise Refused(f"following a step: {handle!r} is no step of a pipeline execution")
        return known

    def _kept(self, works: Sequence[Work]) -> Mapping[str, Kept]:
        return self._index.find([artifact.digest for work in works for artifact in work.inputs.values()])

    def _upload_bundle(self, work: Work) -> str:
        """The export, packed here and uploaded unless the bucket has the same."""
        with (
            packed(work.source, self._root / "exports") as (content, archive),
            calling("uploading the bundle", starts=True),
        ):
            return self._bucket.keep(f"bundles/{content}.tar.gz", archive)

    def _upload_code(self, composed: Composed) -> dict[str, str]:
        uris = {}
        with calling("uploading the steps' code", starts=True):
            for name, spec in composed.specs.items():
                if spec["kind"] == places.TRAINING:
                    content, file = training_code(spec), "source.tar.gz"
                else:
                    content, file = processing_code(spec), "entry.pyz"
                uris[name] = self._bucket.keep(f"code/{digest(content.hex())[:32]}/{file}", content)
        return uris
