"""Owns the backend port on Azure ML: a submission is one pipeline job; refuses to keep what Azure ML keeps."""

from __future__ import annotations

import contextlib
import fcntl
import json
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from service.adapters.backends.azureml import names
from service.adapters.backends.azureml.azure import Azure, calling
from service.adapters.backends.azureml.composing import ENTRY, Composed, compose, handles_of, job_of
from service.adapters.backends.azureml.datastores import Datastores
from service.adapters.backends.azureml.declared import Declared
from service.adapters.backends.azureml.examining import examine
from service.adapters.backends.azureml.failures import Problem
from service.adapters.backends.azureml.following import Jobs
from service.adapters.backends.azureml.hints import Hints
from service.adapters.backends.azureml.loglines import Logs
from service.adapters.backends.azureml.native.definitions import NativeDefinitions
from service.adapters.backends.azureml.native.running import NativeRuns
from service.adapters.backends.azureml.observing import Observer
from service.adapters.backends.azureml.queues import EventsQueue
from service.adapters.backends.azureml.registry import Registry
from service.adapters.backends.azureml.sdk import Sdks
from service.adapters.backends.azureml.submitting import Submitter
from service.adapters.backends.cloud.archives import packed
from service.adapters.backends.cloud.looks import lasting
from service.adapters.backends.cloud.names import digest
from service.adapters.backends.cloud.outputs import Index, Kept
from service.adapters.backends.cloud.specs import admit
from service.domain.errors import Refused, Retry
from service.domain.execution import Observation
from service.domain.lineage import ModelVersion
from service.domain.model_status import Approval, ModelStatus
from service.domain.selection import Source
from service.ports.backend import LogLine, Work


class AzureMLBackend:
    """Steps as nodes of a pipeline job. ``root`` is scratch space and locks; all state is in Azure. ``poll``: how long a look at
    a job is good for, in seconds, when it is young and when it is old; as declared unless given. Without
    ``definitions`` native pipelines are refused."""

    def __init__(
        self,
        declared: Declared,
        root: Path,
        *,
        sdks: Sdks,
        definitions: NativeDefinitions | None = None,
        poll: tuple[float, float] | None = None,
    ) -> None:
        self._declared = declared
        self._root = root.resolve()
        self._azure = Azure(declared)
        self._datastores = Datastores(self._azure)
        self._index = Index(self._datastores)
        self._logs = Logs(self._azure)
        self._registry = Registry(self._azure)
        self._jobs = Jobs(self._azure, poll or lasting(declared.poll_seconds))
        queue = declared.events_queue
        self._hints = Hints(EventsQueue(self._azure, queue), declared.scope, self._jobs) if queue else None
        self._native = NativeRuns(self._azure, self._datastores, self._index, definitions, self._root)
        self._observer = Observer(self._azure, self._datastores, self._index, self._logs, self._native)
        self._submitter = Submitter(self._azure, sdks, seconds=declared.submit_seconds)

    @property
    def composes(self) -> bool:
        return True

    @property
    def slots(self) -> int | None:
        return self._declared.slots

    def submit(self, works: Sequence[Work]) -> Sequence[str]:
        first = works[0]
        admit(works, self._declared.serves)
        name = job_of(works)
        with self._alone(name):
            if not self._is_there(name):
                if first.ingredients.component.native:
                    self._start_native(works, name)
                else:
                    self._start(works)
        return handles_of(works)

    def _start_native(self, works: Sequence[Work], name: str) -> None:
        """The definition's own jobs, with the commit's files beside them; what is known beforehand is noted first."""
        with self._native.written(works, name) as folder:
            self._native.note(works, name)
            self._submit(folder, works[0].pipeline, name)

    def _start(self, works: Sequence[Work]) -> None:
        first = works[0]
        with (
            packed(first.source, self._root / "exports") as (content, archive),
            calling("uploading the bundle", starts=True),
        ):
            bundle = self._datastores.keep(f"bundles/{content}.tar.gz", archive)
        composed = compose(self._declared, works, self._kept(works), bundle)
        with self._written(composed) as folder:
            self._submit(folder, first.pipeline, composed.name)

    def _submit(self, folder: Path, pipeline: str, name: str) -> None:
        """Whatever is said of a submission: if the job is there afterwards, it was taken."""
        try:
            with calling(f"submitting {pipeline}", starts=True):
                self._submitter.submit(folder)
        except (Refused, Retry):
            if not self._is_there(name):
                raise
        self._jobs.forget(name)

    def _is_there(self, name: str) -> bool:
        """Names are unique in a workspace: it is the submission's, however it came there."""
        with calling("looking for a pipeline job", starts=True):
            try:
                self._azure.manager("GET", f"/jobs/{name}")
            except Problem as problem:
                if problem.is_absent:
                    return False
                raise
            return True

    @contextmanager
    def _written(self, composed: Composed) -> Iterator[Path]:
        """The job's document, with its code beside it and nothing else."""
        folder = self._root / "submissions" / secrets.token_hex(8)
        try:
            for node, content in composed.code.items():
                place = folder / "code" / node
                place.mkdir(parents=True)
                (place / ENTRY).write_bytes(content)
            (folder / "job.yml").write_text(json.dumps(composed.document), encoding="ascii")
            yield folder
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Two workers of a machine do not submit the same at once. A few locks serve for all names: they stay."""
        folder = self._root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{digest(name)[:2]}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def observe(self, handle: str) -> Observation:
        known = self._known(handle)
        return self._observer.observation(self._jobs.look(known.job), known.job, known.node)

    def cancel(self, handle: str) -> None:
        known = self._known(handle)
        self._jobs.forget(known.job)
        look = self._jobs.look(known.job)
        if look.has_ended or look.status == "CancelRequested":
            return
        with calling("cancelling a pipeline job"):
            try:
                self._azure.manager("POST", f"/jobs/{known.job}/cancel", {})
            except Problem as problem:
                if problem.status not in (400, 404, 409):
                    raise  # else it has ended, or is being cancelled
        self._jobs.forget(known.job)

    def logs(self, handle: str, after: int, limit: int) -> Sequence[LogLine]:
        known = names.handle_of(handle)
        if known is None or limit <= 0:
            return []
        row = self._jobs.look(known.job).steps.get(known.node)
        if row is None:
            return []
        with calling("reading a log"):
            ran = self._observer.ran(row)
        if not ran.reused:
            return self._logs.lines(ran.run, after, limit)
        lines = [replace(line, number=line.number + 1) for line in self._logs.lines(ran.run, max(0, after - 1), limit)]
        if after == 0:
            said = f"Azure ML ran nothing: it reused {ran.run}, which had the same code, inputs and parameters; its log follows"
            began = lines[0].at if lines else self._jobs.look(known.job).changed
            return [LogLine(1, began, "refit", said), *lines][:limit]
        return lines

    def holds(self, digests: Sequence[str]) -> frozenset[str]:
        return self._index.holds(digests)

    def called(self, model: ModelVersion, job: str) -> str:
        return Registry.called(model)

    def statuses(self, versions: Collection[str]) -> Mapping[str, ModelStatus]:
        return self._registry.statuses(versions)

    def approval(self, version: str) -> Approval:
        return self._registry.approval(version)

    def settle(self, version: str, status: ModelStatus, why: str) -> None:
        self._registry.settle(version, status, why)

    def sources(self, repository: str, pipeline: str, wanted: Mapping[str, Mapping[str, str]]) -> Sequence[Source]:
        return self._native.sources(wanted)

    @property
    def hears(self) -> bool:
        return self._hints is not None

    def heard(self, seconds: float) -> Sequence[str]:
        return self._hints.heard(seconds) if self._hints else ()

    def examine(self) -> Sequence[str]:
        return examine(self._azure, self._datastores)

    @staticmethod
    def _known(handle: str) -> names.Handle:
        known = names.handle_of(handle)
        if known is None:
            raise Refused(f"following a step: {handle!r} is no step of a pipeline job")
        return known

    def _kept(self, works: Sequence[Work]) -> Mapping[str, Kept]:
        return self._index.find([artifact.digest for work in works for artifact in work.inputs.values()])
