"""Owns native steps of one submission → one pipeline job, and what became of a step of it; refuses a definition that is not the
commit's own, and machines that the operator does not offer."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from service.adapters.backends.azureml import names
from service.adapters.backends.azureml.azure import Azure, calling
from service.adapters.backends.azureml.composing import git_properties, tags_of
from service.adapters.backends.azureml.datastores import Datastores
from service.adapters.backends.azureml.declared import Declared
from service.adapters.backends.azureml.native.definitions import NativeDefinitions, Read
from service.adapters.backends.azureml.native.flattening import Flattening
from service.adapters.backends.azureml.native.scopes import Edge, Job
from service.adapters.backends.cloud.names import slug
from service.adapters.backends.cloud.outputs import Index, NativeOutput, fingerprint
from service.adapters.backends.steps.metrics import is_number
from service.domain.errors import Refused
from service.domain.execution import Artifact
from service.domain.names import short, shown
from service.domain.pipeline import UpstreamInput
from service.domain.selection import Source
from service.ports.backend import Work

_ROOT = "repository"
_LARGEST_NOTES = 1024 * 1024
_METRICS = "mlflow/v1.0"
_SETTINGS = ("default_datastore", "continue_on_step_failure", "continue_run_on_failed_optional_input")


class NativeRuns:
    """``root`` is scratch space. What is known of a submission beforehand, the digests of its outputs, is noted in the
    operator's datastore under the job's name."""

    def __init__(
        self,
        azure: Azure,
        datastores: Datastores,
        index: Index,
        definitions: NativeDefinitions | None,
        root: Path,
    ) -> None:
        self._azure = azure
        self._declared = azure.declared
        self._datastores = datastores
        self._index = index
        self._definitions = definitions
        self._root = root

    @contextmanager
    def written(self, works: Sequence[Work], name: str) -> Iterator[Path]:
        """A folder with the job's document, ``job.yml``, and the commit's files beside it."""
        first = works[0]
        read = self._read(first)
        flat = self._flat(works, read)
        document = {**_head(first, name, read, self._declared, fresh=any(work.fresh for work in works)), **flat}
        folder = self._root / "submissions" / secrets.token_hex(8)
        try:
            (folder / _ROOT).mkdir(parents=True)
            first.source.export(folder / _ROOT)
            (folder / "job.yml").write_text(json.dumps(document), encoding="ascii")
            yield folder
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)

    def note(self, works: Sequence[Work], name: str) -> None:
        """Before the job begins: who looks at it later knows nothing else of it."""
        noted = {}
        for work in works:
            assert work.native is not None, "native steps come with their definition"
            component = work.ingredients.component.name
            noted[names.node_name(component)] = {"step": component, "outputs": dict(work.native.outputs)}
        with calling("noting what is submitted", starts=True):
            self._datastores.write(_notes(name), json.dumps(noted, sort_keys=True).encode())

    def _read(self, first: Work) -> Read:
        if self._definitions is None or first.native is None or first.native.pipeline.native is None:
            raise Refused(f"submitting {first.pipeline}: native definitions are not set up here")
        native = first.native.pipeline.native
        if native.taken_from:
            raise Refused(
                f"submitting {first.pipeline}: its definition is that of {short(native.taken_from)}, and not this commit's: a "
                "fork's pull request is planned and not run; push it to a branch of the repository"
            )
        return self._definitions.read(native, first.native.repository, first.commit)

    def _flat(self, works: Sequence[Work], read: Read) -> dict[str, Any]:
        jobs = {job.name: job for job in read.jobs}
        nodes = {work.ingredients.component.name: names.node_name(work.ingredients.component.name) for work in works}
        if gone := sorted(nodes.keys() - jobs.keys()):
            raise Refused(
                f"submitting {works[0].pipeline}: {gone[0]} is no job of its definition; plan the commit again"
            )
        flat = Flattening(read.sources, nodes, self._kept(works), f"./{_ROOT}")
        made = {nodes[name]: flat.job(jobs[name]) for name in nodes}
        default = _default_compute(read.document, jobs, self._declared)
        for name, node in nodes.items():
            compute = made[node].get("compute")
            if isinstance(compute, str) and not compute.startswith(("azureml:", "serverless")):
                made[node]["compute"] = f"azureml:{compute}"  # a parameter may hold the bare name
            self._permit(jobs[name], str(compute or default))
            self._permit_places(name, made[node].get("outputs") or {})
        return {"inputs": flat.inputs, "jobs": made, "compute": default}

    def _permit(self, job: Job, compute: str) -> None:
        machine = compute.removeprefix("azureml:")
        if not self._declared.may_run_on(machine):
            allowed = ", ".join(sorted({self._declared.compute, *self._declared.computes}))
            raise Refused(
                f"submitting {job.name}: this backend does not offer the compute {shown(machine)}; it has {allowed}"
            )

    def _permit_places(self, name: str, outputs: Mapping[str, Any]) -> None:
        """What Refit keeps in the operator's place is nobody's to write."""
        for output, said in outputs.items():
            place = said.get("path") if isinstance(said, Mapping) else None
            with contextlib.suppress(ValueError):
                datastore, path = names.parts_of(str(place))
                if datastore == self._declared.datastore and f"{path}/".startswith(f"{self._declared.prefix}/"):
                    raise Refused(
                        f"submitting {name}: its output {shown(output)} goes to {shown(path)}, where Refit keeps its own"
                    )

    def _kept(self, works: Sequence[Work]) -> dict[Edge, str]:
        """Where what is read of other submissions lies."""
        digests: dict[Edge, str] = {}
        for work in works:
            for name, source in work.ingredients.component.inputs:
                if isinstance(source, UpstreamInput) and name in work.inputs:
                    digests[source.component, source.output] = work.inputs[name].digest
        found = self._index.natives(list(digests.values()))
        return {edge: found[digest].uri for edge, digest in digests.items() if digest in found and found[digest].uri}

    def sources(self, wanted: Mapping[str, Mapping[str, str]]) -> Sequence[Source]:
        """Whichever jobs made them: an output is read from where it lies, so steps of several may serve together."""
        digests = [digest for outputs in wanted.values() for digest in outputs.values()]
        there = self._index.holds(digests)
        held = frozenset(name for name, outputs in wanted.items() if set(outputs.values()) <= there)
        return [Source("the workspace", "Succeeded", held)] if held else []

    def noted(self, job: str, node: str) -> tuple[str, dict[str, str]]:
        """The step of a node, and output → digest as they were known at submission."""
        content = self._datastores.read(self._datastores.uri(_notes(job)), _LARGEST_NOTES)
        try:
            row = json.loads(content or b"{}")[node]
            return str(row["step"]), {str(name): str(digest) for name, digest in row["outputs"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused(f"following {node}: what was noted of {job} is gone from the datastore") from error

    def gone(self, digests: Mapping[str, str], run: str, places: Mapping[str, str]) -> str:
        """An output of those noted that the earlier ``run`` does not stand for any more, if there is one: nothing lies where it
        was, or at a place that others write to lies something of which nobody knows that it is that run's."""
        known = self._index.natives(list(digests.values()))
        for name, digest in digests.items():
            uri, entry = places.get(name, ""), known.get(digest)
            mark = fingerprint(self._datastores, uri)[0] if uri else ""
            if entry is not None and entry.uri == (uri if mark else ""):
                if entry.fingerprint != mark:
                    return name
            elif not mark or run not in uri:
                return name
        return ""

    def made(self, job: str, noted: tuple[str, Mapping[str, str]], places: Mapping[str, str]) -> tuple[Artifact, ...]:
        """A node's outputs, written to the index before anybody can hear of them. ``noted``: of it; ``places``: output → URI."""
        step, digests = noted
        outputs, entries = [], {}
        for name, digest in digests.items():
            uri = places.get(name, "")
            mark, size = fingerprint(self._datastores, uri) if uri else ("", 0)
            uri = uri if mark else ""
            outputs.append(Artifact(name, digest, size, uri))
            entries[digest] = NativeOutput(job, step, uri, mark)
        self._index.write_native(entries)
        return tuple(outputs)

    def metrics(self, run: str) -> dict[str, float]:
        """What the step logged with MLflow: the last value of each."""
        found = self._azure.history("GET", f"/api/2.0/mlflow/runs/get?run_id={run}", service=_METRICS)
        rows = ((found.get("run") or {}).get("data") or {}).get("metrics") or ()
        return {str(row["key"]): float(row["value"]) for row in rows if is_number(row.get("value"))}


def _head(first: Work, name: str, read: Read, declared: Declared, *, fresh: bool) -> dict[str, Any]:
    """What a pipeline job has besides its jobs; the definition's own words where they can do no harm."""
    given = read.document.get("settings")
    own = given if isinstance(given, Mapping) else {}
    settings = {key: own[key] for key in _SETTINGS if key in own}
    settings.setdefault("default_datastore", f"azureml:{declared.datastore}")
    experiment = read.document.get("experiment_name")
    return {
        "$schema": "https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json",
        "type": "pipeline", "name": name, "display_name": names.tag(f"{first.pipeline} {first.commit[:12]}"),
        "experiment_name": slug(experiment)[:255] if isinstance(experiment, str) and experiment
        else names.experiment_name(first.repository, first.pipeline),
        "description": names.tag(f"{first.repository} {first.pipeline} at {first.commit}, submission {first.submission}"),
        "tags": tags_of(first), "properties": git_properties(first),
        "settings": {**settings, "force_rerun": fresh or any(job.scope.reruns for job in read.jobs)},
    }  # fmt: skip


def _default_compute(document: Mapping[str, Any], jobs: Mapping[str, Job], declared: Declared) -> str:
    settings = document.get("settings")
    given = document.get("compute") or (settings.get("default_compute") if isinstance(settings, Mapping) else None)
    if not isinstance(given, str) or not given:
        return f"azureml:{declared.compute}"
    job = next(iter(jobs.values()))
    top = job.scope
    while top.parent is not None:
        top = top.parent
    found = top.resolve(given, top.where).value
    return str(found) if str(found).startswith("azureml:") else f"azureml:{found}"


def _notes(job: str) -> str:
    return f"submissions/{job}.json"
