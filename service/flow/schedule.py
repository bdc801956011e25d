"""Owns findings → plans → stored executions, superseding what is older; refuses to run anything.

``store_plans`` works in the caller's unit of work, so that a plan, the supersession it causes and the end of the job that
asked for it become durable together or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from service.domain.assessment import Assessment
from service.domain.errors import Refused
from service.domain.execution import FINAL, RERUN, Execution, State, begin
from service.domain.facts import VERSION
from service.domain.impact import Findings
from service.domain.names import is_zero, short
from service.domain.pipeline import Pipeline, UpstreamInput
from service.domain.plan import History, Plan, Result, full_key, make_plan
from service.domain.step_key import PartKind
from service.ports.backend import Backend
from service.ports.clock import Clock
from service.ports.git_host import Commit, GitHost, Repository
from service.ports.store import AlreadyThere, Store, Work


class Assess(Protocol):
    """The arrow before this one, as far as it is needed here."""

    def findings(
        self, name: str, repository: Repository, head: str, base: str | None, *, manifest_at: str | None = None
    ) -> Findings: ...

    def at(self, name: str, repository: Repository, commit: str, *, manifest_at: str | None = None) -> Assessment: ...


@dataclass(frozen=True, slots=True)
class Request:
    """Why executions are wanted: the commit, the ref they count for, and who or what asked.

    ``manifest_at`` names the commit whose ``refit.yaml`` is believed if not the commit's own. ``pipelines`` limits which
    are planned (empty: all), ``forced`` names components that run whatever the past. ``targets`` are the refs whose last
    success gates compare with; by default a pull request's base, else the ref itself and then ``base_ref``.
    """

    repository: str
    ref: str
    commit: Commit
    trigger: str
    author: str
    base: str | None = None
    base_ref: str = ""
    manifest_at: str | None = None
    pull_request: int | None = None
    needs_approval: str = ""
    targets: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    supersedes: bool = True


@dataclass(frozen=True)
class Scheduler:
    """Plans commits and stores their executions."""

    store: Store
    hosts: GitHost
    assess: Assess
    backends: Mapping[str, Backend]
    clock: Clock

    def findings(self, request: Request) -> Findings:
        """What the request's commit changes; ``Refused`` with a reason for its author."""
        repository = self.hosts.repository(request.repository)
        found = self.assess.findings(
            request.repository, repository, request.commit.sha, request.base, manifest_at=request.manifest_at
        )
        for pipeline in found.after.manifest.pipelines:
            with self.store.begin() as work:
                baseline = self._baseline(work, request, pipeline)
            self._migrate_keys(request.repository, baseline, pipeline)
        return found

    def plans(self, work: Work, request: Request, findings: Findings) -> list[Plan]:
        """One plan for each pipeline of the head, against everything the store knows; stores nothing."""
        wanted = [p for p in findings.after.manifest.pipelines if not request.pipelines or p.name in request.pipelines]
        plans = []
        for pipeline in wanted:
            baseline = self._baseline(work, request, pipeline)
            assessed = [findings.after.components[pipeline.name, component.name] for component in pipeline.components]
            static_keys = {one.ingredients.static_key for one in assessed}
            history = self.history(work, pipeline, static_keys, baseline)
            plans.append(
                make_plan(
                    pipeline,
                    findings.after,
                    history,
                    base=request.base,
                    head=request.commit.sha,
                    before=findings.before,
                    forced=request.forced,
                )
            )
        return plans

    def store_plans(self, work: Work, request: Request, findings: Findings) -> list[Execution]:
        """An execution for each plan; older live executions of the same ref and pipeline are superseded."""
        executions: list[Execution] = []
        for plan in self.plans(work, request, findings):
            execution = self._execution(request, plan, self.clock.new_id(after=work.executions.newest()))
            try:
                work.executions.add(execution)
            except AlreadyThere as known:
                existing = work.executions.get(known.id)
                executions += [existing] if existing else []
                continue
            if request.supersedes:
                for older in work.executions.live(request.repository, request.ref, plan.pipeline.name):
                    if older.id != execution.id:
                        work.executions.mark(older.id, superseded_by=execution.id)
            work.notices.enqueue(execution.id)
            executions.append(execution)
        return executions

    def rerun(self, id: str, by: str, components: Sequence[str] = ()) -> Execution:
        """A new execution of the same pipeline at the same commit. ``components`` run whatever the past; without any,
        what did not succeed runs again and the rest is reused."""
        with self.store.begin() as work:
            old = work.executions.get(id)
        if old is None:
            raise Refused(f"rerunning {id}: there is no such execution")
        if old.ended_at is None:
            raise Refused(f"rerunning {id}: it is still {old.status.value}; cancel it first, or wait")
        names = [component.name for component in old.pipeline.components]
        if unknown := [name for name in components if name not in names]:
            raise Refused(f"rerunning {id}: no component {unknown[0]!r}; it has {', '.join(names)}")
        retried = [step.name for step in old.steps if step.state in FINAL - {State.SUCCEEDED, State.REUSED}]
        repository = self.hosts.repository(old.repository)
        request = Request(
            repository=old.repository,
            ref=old.ref,
            commit=repository.commit(old.commit),
            trigger=f"{RERUN}{self.clock.new_id()}",
            author=by,
            base=old.base,
            pull_request=old.pull_request,
            targets=old.targets,
            pipelines=(old.pipeline.name,),
            forced=tuple(components or (name for name in retried if old.step(name).state is State.FAILED)),
            supersedes=False,
        )
        findings = self.findings(request)
        with self.store.begin() as work:
            made = self.store_plans(work, request, findings)
        if not made:
            raise Refused(f"rerunning {id}: refit.yaml at {short(old.commit)} no longer declares {old.pipeline.name}")
        return made[0]

    def history(
        self,
        work: Work,
        pipeline: Pipeline,
        static_keys: Collection[str],
        baseline: Mapping[str, Result],
        *,
        besides: str = "",
    ) -> History:
        """What planning may know of these static keys: results, each marked by whether its outputs are still there, and
        what failed or is in flight (but not in the execution ``besides``)."""
        results = work.lineage.with_static_keys(static_keys)
        digests = sorted({digest for result in results for digest in result.outputs.values()})
        backend = self.backends.get(pipeline.backend)
        held = set(backend.holds(digests)) if backend and digests else set()
        return History(
            tuple(replace(result, available=set(result.outputs.values()) <= held) for result in results),
            baseline,
            work.executions.failed(static_keys),
            work.executions.in_flight(static_keys, besides=besides),
        )

    def _baseline(self, work: Work, request: Request, pipeline: Pipeline) -> Mapping[str, Result]:
        """For each component, the last success to explain against: this ref's, else the base ref's, else any."""
        refs = [ref for ref in (request.ref, request.base_ref) if ref]
        return work.lineage.baseline(request.repository, pipeline.name, refs)

    def _migrate_keys(self, name: str, baseline: Mapping[str, Result], pipeline: Pipeline) -> None:
        """A new version of the algorithm must not retrain everything: give each result that it would orphan today's
        key of the very commit that made it, if it ran as that commit's own refit.yaml says: a fork's is not believed."""
        for component_name, result in baseline.items():
            if any(part.kind is PartKind.ALGORITHM and part.value == VERSION for part in result.parts):
                continue
            try:
                assessment = self.assess.at(name, self.hosts.repository(name), result.commit)
            except Refused:  # the commit is gone: its result cannot be carried over, and the step says why it runs
                continue
            assessed = assessment.components.get((pipeline.name, component_name))
            with self.store.begin() as work:
                execution = work.executions.get(result.execution)
            ran = execution.pipeline.components if execution else ()
            if assessed is None or assessed.component not in ran:
                continue
            upstream = {part.subject: part.value for part in result.parts if part.kind is PartKind.UPSTREAM}
            read = [source for _, source in assessed.component.inputs if isinstance(source, UpstreamInput)]
            if any(f"{source.component}.{source.output}" not in upstream for source in read):
                continue
            outputs = {(s.component, s.output): upstream[f"{s.component}.{s.output}"] for s in read}
            static_key = assessed.ingredients.static_key
            with self.store.begin() as work:
                work.lineage.alias(result.id, full_key(static_key, assessed.component, outputs), static_key)

    def _execution(self, request: Request, plan: Plan, id: str) -> Execution:
        return Execution(
            id=id,
            repository=request.repository,
            pipeline=plan.pipeline,
            ref=request.ref,
            commit=request.commit.sha,
            tree=request.commit.tree,
            base=plan.base,
            author=request.author,
            message=request.commit.message,
            trigger=request.trigger,
            created_at=self.clock.now(),
            steps=begin(plan),
            pull_request=request.pull_request,
            removed=plan.removed,
            needs_approval=request.needs_approval,
            forced=request.forced,
            targets=request.targets or _targets(request),
        )


def _targets(request: Request) -> tuple[str, ...]:
    refs = (request.base_ref,) if request.pull_request is not None else (request.ref, request.base_ref)
    return tuple(dict.fromkeys(ref for ref in refs if ref))


def readable_base(repository: Repository, *candidates: str) -> str | None:
    """The first of the candidates that can still be read: GitHub's ``before`` may be zeros, or orphaned."""
    for sha in candidates:
        if sha and not is_zero(sha):
            try:
                return repository.commit(sha).sha
            except Refused:
                continue
    return None


def describe(made: Sequence[Execution], commit: str) -> str:
    """What became of a delivery, in one sentence."""
    if not made:
        return f"{short(commit)}: refit.yaml declares no pipeline"
    return f"{short(commit)}: " + ", ".join(f"{e.pipeline.name} → {e.id}" for e in made)
