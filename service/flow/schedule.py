"""Owns findings → plans → stored executions, superseding what is older; refuses to run anything.

``store_plans`` works in the caller's unit of work, so that a plan, the supersession it causes and the end of the job that
asked for it become durable together or not at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from service.domain.assessment import Assessment
from service.domain.errors import Refused
from service.domain.execution import FINAL, RERUN, Execution, State, begin
from service.domain.facts import VERSION
from service.domain.impact import Findings
from service.domain.lineage import Standing
from service.domain.names import is_zero, short
from service.domain.pipeline import Pipeline, UpstreamInput
from service.domain.plan import History, Plan, Result, full_key, make_plan
from service.domain.step_key import PartKind
from service.ports.backend import Backend
from service.ports.clock import Clock
from service.ports.git_host import Commit, GitHost, Repository
from service.ports.store import Store, Work


class Assess(Protocol):
    """The arrow before this one, as far as it is needed here."""

    def findings(
        self,
        name: str,
        repository: Repository,
        head: str,
        base: str | None,
        *,
        manifest_at: str | None = None,
        may_compile: bool = True,
    ) -> Findings: ...

    def at(self, name: str, repository: Repository, commit: str, *, manifest_at: str | None = None) -> Assessment: ...


@dataclass(frozen=True, slots=True)
class Request:
    """Why executions are wanted: the commit, the ref they count for, and who or what asked.

    ``manifest_at`` names the commit whose ``refit.yaml`` is believed if not the commit's own; ``may_compile`` says whether
    the code of a native definition may be run for it. ``pipelines`` limits which
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
    may_compile: bool = True
    pull_request: int | None = None
    needs_approval: str = ""
    targets: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    forced: tuple[str, ...] = ()
    supersedes: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether it says where the whole ref stands, rather than running some of it again."""
        return self.supersedes and not self.pipelines and not self.forced


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a request's commit changes, and what was known beforehand: the ``pipelines`` worth an execution of their own; for
    the others, the execution that goes on ``standing`` for each; the results to explain against; and backend → outputs of
    earlier results that it has no more."""

    findings: Findings
    pipelines: Sequence[Pipeline]
    standing: Mapping[str, str]
    baselines: Mapping[str, Mapping[str, Result]]
    gone: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Scheduler:
    """Plans commits and stores their executions. Up to ``spelled_out`` pipelines that a commit leaves alone get an
    execution of their own all the same, in which everything is reused: see docs/decisions/0050."""

    store: Store
    hosts: GitHost
    assess: Assess
    backends: Mapping[str, Backend]
    clock: Clock
    spelled_out: int = 20

    def prepare(self, request: Request) -> Prepared:
        """What the request's commit changes; ``Refused`` with a reason for its author."""
        repository = self.hosts.repository(request.repository)
        found = self.assess.findings(
            request.repository,
            repository,
            request.commit.sha,
            request.base,
            manifest_at=request.manifest_at,
            may_compile=request.may_compile,
        )
        with self.store.read() as work:
            pipelines, standing = self._divided(work, request, found)
            baselines = self._baselines(work, request, pipelines)
        for pipeline in pipelines:
            self._migrate_keys(request.repository, baselines.get(pipeline.name, {}), pipeline)
        return Prepared(found, pipelines, standing, baselines, self._gone(pipelines, found))

    def plans(self, request: Request, prepared: Prepared) -> list[Plan]:
        """One plan for each pipeline of the head, against everything the store knows; stores nothing."""
        pipelines = _wanted(request, prepared.findings)
        more = self._gone([one for one in pipelines if one.name in prepared.standing], prepared.findings)
        gone = {
            name: prepared.gone.get(name, frozenset()) | more.get(name, frozenset()) for name in {*prepared.gone, *more}
        }
        with self.store.read() as work:
            baselines = self._baselines(work, request, pipelines)
            return self._plans(work, request, replace(prepared, pipelines=pipelines, baselines=baselines, gone=gone))

    def store_plans(self, work: Work, request: Request, prepared: Prepared) -> list[Execution]:
        """An execution for each pipeline, but for those of many that the commit leaves alone; older live executions of the
        same ref and pipeline are superseded, and what now stands for each pipeline is noted. That something stood when it
        was ``prepared`` stays true: what has succeeded has."""
        newest = work.executions.newest()
        made = [
            self._execution(request, plan, self.clock.new_id(after=newest))
            for plan in self._plans(work, request, prepared)
        ]
        existing = work.executions.add_all(made)
        fresh = [execution for execution in made if execution.id not in existing]
        if request.supersedes:
            work.executions.supersede(fresh)
        work.notices.enqueue_all([execution.id for execution in fresh])
        known = (work.executions.get(existing.get(one.id, one.id)) if one.id in existing else one for one in made)
        executions = [execution for execution in known if execution is not None]
        if request.is_whole:
            own = {execution.pipeline.name: execution.id for execution in executions}
            work.standings.add(
                Standing(
                    id=self.clock.new_id(after=newest),
                    repository=request.repository,
                    ref=request.ref,
                    commit=request.commit.sha,
                    trigger=request.trigger,
                    at=self.clock.now(),
                    executions={**prepared.standing, **own},
                    fresh=frozenset(own),
                    marks={name: mark for name, mark in prepared.findings.after.marks.items() if mark},
                )
            )
        return executions

    def _divided(self, work: Work, request: Request, findings: Findings) -> tuple[list[Pipeline], Mapping[str, str]]:
        """Pipelines to plan; and, for those that are not worth an execution of their own, the one that goes on standing
        for them: a push to a thousand pipelines must not leave 999 executions in which nothing happened."""
        wanted = _wanted(request, findings)
        standing = self._left_alone(work, request, findings) if request.is_whole else {}
        if len(standing) <= self.spelled_out:
            return wanted, {}
        return [pipeline for pipeline in wanted if pipeline.name not in standing], standing

    def _left_alone(self, work: Work, request: Request, findings: Findings) -> dict[str, str]:
        """Pipeline → its execution on the ref, else on the base ref, that succeeded with this very definition and with
        these very static keys: a plan would find nothing to run, and its gates would say the same again."""
        marks = findings.after.marks
        found: dict[str, str] = {}
        for ref in dict.fromkeys(ref for ref in (request.ref, request.base_ref) if ref):
            known = work.standings.newest(request.repository, ref) if len(found) < len(marks) else None
            if known is None:
                continue
            same = {
                pipeline: known.executions[pipeline]
                for pipeline, mark in marks.items()
                if pipeline not in found and known.marks.get(pipeline) == mark
            }
            unsure = {execution for pipeline, execution in same.items() if pipeline in known.fresh}
            unsure -= work.executions.succeeded(unsure)
            found |= {pipeline: execution for pipeline, execution in same.items() if execution not in unsure}
        return found

    def _plans(self, work: Work, request: Request, prepared: Prepared) -> list[Plan]:
        """A result that came since this was prepared is taken as there: it was made a moment ago, and whoever drives asks
        again."""
        findings = prepared.findings
        histories = self._histories(work, _static_keys(prepared.pipelines, findings), prepared.baselines)
        return [
            make_plan(
                pipeline,
                findings.after,
                histories[pipeline.name].without(prepared.gone.get(pipeline.backend, frozenset())),
                base=request.base,
                head=request.commit.sha,
                before=findings.before,
                forced=request.forced,
            )
            for pipeline in prepared.pipelines
        ]

    def rerun(self, id: str, by: str, components: Sequence[str] = ()) -> Execution:
        """A new execution of the same pipeline at the same commit. ``components`` run whatever the past; without any,
        what did not succeed runs again and the rest is reused."""
        with self.store.read() as work:
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
        prepared = self.prepare(request)
        with self.store.begin() as work:
            made = self.store_plans(work, request, prepared)
        if not made:
            raise Refused(f"rerunning {id}: refit.yaml at {short(old.commit)} no longer declares {old.pipeline.name}")
        return made[0]

    def history(self, work: Work, execution: Execution) -> History:
        """What planning may know of an execution's static keys now, but for what its backend says of the outputs: a cloud is not
        asked within a unit of work."""
        pipeline = execution.pipeline
        names = {pipeline.name: [component.name for component in pipeline.components]}
        baselines = work.lineage.baselines(execution.repository, names, [execution.ref])
        static_keys = {pipeline.name: {step.static_key for step in execution.steps}}
        return self._histories(work, static_keys, baselines, besides=execution.id)[pipeline.name]

    def _histories(
        self,
        work: Work,
        static_keys: Mapping[str, Collection[str]],
        baselines: Mapping[str, Mapping[str, Result]],
        *,
        besides: str = "",
    ) -> dict[str, History]:
        """What planning may know of these static keys, for each pipeline: results, and what failed or is in flight (but not in
        the execution ``besides``)."""
        every = {key for keys in static_keys.values() for key in keys}
        results: dict[str, list[Result]] = defaultdict(list)
        for result in work.lineage.with_static_keys(every):
            results[result.static_key].append(result)
        failed, in_flight = work.executions.failed(every), work.executions.in_flight(every, besides=besides)
        return {
            name: History(
                tuple(result for key in sorted(keys) for result in results.get(key, ())),
                baselines.get(name, {}),
                failed,
                in_flight,
            )
            for name, keys in static_keys.items()
        }

    def _gone(self, pipelines: Sequence[Pipeline], findings: Findings) -> dict[str, frozenset[str]]:
        """Backend → which outputs of results that these pipelines may reuse it has no more. It is asked outside of any unit of
        work: a slow cloud must keep nobody waiting."""
        static_keys, wanted = _static_keys(pipelines, findings), defaultdict[str, set[str]](set)
        for pipeline in pipelines:
            wanted[pipeline.backend] |= static_keys[pipeline.name]
        with self.store.read() as work:
            made = {name: work.lineage.made(keys) for name, keys in wanted.items()}
        return {
            name: digests - self.backends[name].holds(sorted(digests)) if name in self.backends else digests
            for name, digests in made.items()
            if digests
        }

    def _baselines(
        self, work: Work, request: Request, pipelines: Sequence[Pipeline]
    ) -> Mapping[str, Mapping[str, Result]]:
        """For each component, the last success to explain against: this ref's, else the base ref's, else any."""
        names = {pipeline.name: [component.name for component in pipeline.components] for pipeline in pipelines}
        return work.lineage.baselines(
            request.repository, names, [ref for ref in (request.ref, request.base_ref) if ref]
        )

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
            with self.store.read() as work:
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


def _static_keys(pipelines: Sequence[Pipeline], findings: Findings) -> dict[str, frozenset[str]]:
    """Pipeline → the static keys of its components at the head."""
    components = findings.after.components
    return {
        pipeline.name: frozenset(
            components[pipeline.name, component.name].ingredients.static_key for component in pipeline.components
        )
        for pipeline in pipelines
    }


def _wanted(request: Request, findings: Findings) -> list[Pipeline]:
    pipelines = findings.after.manifest.pipelines
    return [pipeline for pipeline in pipelines if not request.pipelines or pipeline.name in request.pipelines]


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


def describe(made: Sequence[Execution], commit: str, left_alone: int = 0) -> str:
    """What became of a delivery, in one sentence. ``left_alone``: pipelines whose last success goes on standing."""
    told = [f"{execution.pipeline.name} → {execution.id}" for execution in made]
    told += [f"{left_alone} pipelines as before"] if left_alone else []
    return f"{short(commit)}: {', '.join(told) or 'refit.yaml declares no pipeline'}"
