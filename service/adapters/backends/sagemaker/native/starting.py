"""Owns starting steps of a native pipeline: its uploads in the operator's bucket by content, its definition as a pinned
version, one execution of all or of selected steps; refuses what the operator does not permit, and to look at what runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.adapters.backends.sagemaker import names
from service.adapters.backends.sagemaker.aws import Bucket, calling
from service.adapters.backends.sagemaker.declared import Declared
from service.adapters.backends.sagemaker.native.definitions import NativeDefinitions
from service.adapters.backends.sagemaker.native.permitting import refuse_what_is_not_permitted
from service.adapters.backends.sagemaker.native.relocating import relocated
from service.adapters.backends.sagemaker.native.sources import Sources
from service.adapters.backends.sagemaker.native.steps import Step, reports_of, steps_of
from service.adapters.backends.sagemaker.native.submissions import Noted, Submissions
from service.adapters.backends.sagemaker.pipelines import Pipelines, Start
from service.domain.errors import Refused
from service.domain.names import short
from service.domain.pipeline import UpstreamInput
from service.domain.selection import best, needed
from service.ports.backend import NativeWork, Work

_UPLOADS = "native"
_MOST_DESCRIBED = 3_000


class NativeStarter:
    """Starts the steps of one submission together, or adopts what an earlier call started."""

    def __init__(
        self,
        declared: Declared,
        bucket: Bucket,
        definitions: NativeDefinitions,
        pipelines: Pipelines,
        sources: Sources,
        submissions: Submissions,
    ) -> None:
        self._declared = declared
        self._bucket = bucket
        self._definitions = definitions
        self._pipelines = pipelines
        self._sources = sources
        self._submissions = submissions

    def start(self, works: Sequence[Work]) -> Sequence[str]:
        """A handle for each. The definition is compiled again only if nobody has compiled one that sees the same."""
        first, native = works[0], _native_of(works)
        uses = native.pipeline.native
        assert uses is not None, "a native work's pipeline has a definition"
        if uses.taken_from:
            raise Refused(
                f"submitting {first.pipeline}: its definition is that of {short(uses.taken_from)}, and what that uploads is not "
                "this commit's: a fork's pull request is planned and not run; push it to a branch of the repository"
            )
        tree = native.repository.tree(first.commit)
        compiled = self._definitions.compiled(native.pipeline, native.repository, first.commit, tree)
        refuse_what_is_not_permitted(compiled.definition, self._declared, uses.path)
        steps = {step.name: step for step in steps_of(compiled.definition, uses.path)}
        own = tuple(work.ingredients.component.name for work in works)
        source = self._source(works, native)
        moved = relocated(compiled.definition, compiled.uploads, self._bucket.name, f"{self._bucket.prefix}/{_UPLOADS}")
        self._upload(moved.objects)
        with calling("noting what is submitted", starts=True):
            notes = self._submissions.keep(_notes(works, steps))
        arn = self._pipelines.start(
            Start(
                pipeline=names.pipeline_name(first.repository, first.pipeline),
                definition=moved.text,
                token=names.request_token(first.submission),
                display=names.display_name(first.commit, first.submission),
                description=_description(first, own, len(steps)),
                parameters={},
                tags={"refit:repository": names.tag(first.repository), "refit:pipeline": names.tag(first.pipeline)},
                steps=own if len(own) < len(steps) else (),
                source=source,
                parallel=self._declared.slots,
            )
        )
        return [str(names.Handle(arn, name, notes)) for name in own]

    def _source(self, works: Sequence[Work], native: NativeWork) -> str:
        """The execution that has what the steps read of others; found again as it was found when they were chosen."""
        own = [work.ingredients.component.name for work in works]
        reads = needed(native.pipeline, own)
        if not reads:
            return ""
        wanted: dict[str, dict[str, str]] = {name: {} for name in reads}
        for work in works:
            for name, source in work.ingredients.component.inputs:
                if isinstance(source, UpstreamInput) and name in work.inputs:
                    wanted[source.component][source.output] = work.inputs[name].digest
        chosen = best(native.pipeline, own, self._sources.find(works[0].repository, works[0].pipeline, wanted))
        if chosen.source is None:
            raise Refused(f"submitting {', '.join(own)}: {chosen.why}; run it again, and all of it will run")
        return chosen.source.name

    def _upload(self, objects: Mapping[str, str]) -> None:
        with calling("uploading what the definition uploads", starts=True):
            for key, digest in objects.items():
                self._bucket.keep(key.removeprefix(f"{self._bucket.prefix}/"), self._definitions.objects / digest)


def _native_of(works: Sequence[Work]) -> NativeWork:
    native = works[0].native
    if native is None:
        raise Refused(f"submitting {works[0].pipeline}: it has native steps and no native definition")
    return native


def _notes(works: Sequence[Work], steps: Mapping[str, Step]) -> dict[str, Noted]:
    found = {}
    for work in works:
        name = work.ingredients.component.name
        if name not in steps or work.native is None:
            raise Refused(
                f"submitting {work.pipeline}: {name} is no step of its definition any more; plan the commit again"
            )
        step = steps[name]
        reports = tuple((output, path) for _, output, path in reports_of(step))
        found[name] = Noted(step.kind, dict(work.native.outputs), reports, step.inside)
    return found


def _description(work: Work, own: Sequence[str], every: int) -> str:
    which = "all steps" if len(own) == every else ", ".join(own)
    text = f"{work.repository} {work.pipeline} at {work.commit}, submission {work.submission}: {which}"
    return text[:_MOST_DESCRIBED]
