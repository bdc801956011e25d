"""Owns a submission → what each job runs and what the SDK shall compile; refuses AWS, files and whatever differs between two
attempts, so that the same steps of the same commit are the same definition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.adapters.backends.cloud.outputs import Kept
from service.adapters.backends.cloud.specs import plain_gates, spec_of
from service.adapters.backends.sagemaker.aws import is_archive
from service.adapters.backends.sagemaker.container import places
from service.adapters.backends.sagemaker.declared import Declared
from service.adapters.backends.sagemaker.names import group_name, pipeline_name, step_name
from service.adapters.backends.steps.container.receipts import FLAT_METRICS, REPORT
from service.domain.errors import Refused
from service.domain.pipeline import UpstreamInput
from service.ports.backend import Work

PARAMETER = "Outputs"
"""The pipeline parameter below which all outputs lie: it alone differs from attempt to attempt."""
_PROPERTY_FILE = "Metrics"
_GATES, _REGISTER = "refit-gates", "refit-register"
_MOST_INPUTS, _MOST_OUTPUTS, _MOST_PARAMETERS, _LONGEST_PARAMETER = 10, 10, 90, 2_500
_MARGIN_SECONDS, _DEFAULT_SECONDS, _MOST_SECONDS = 900, 86_400, 432_000
"""The step's own timeout is kept inside the container, which says so; SageMaker's is for a container that hangs."""


@dataclass(frozen=True)
class Composed:
    """What one submission becomes. ``specs`` and ``jobs`` by step name, in the order of the works."""

    specs: Mapping[str, Mapping[str, Any]]
    jobs: Mapping[str, dict[str, Any]]
    register: Mapping[str, Any] | None
    steps: tuple[str, ...] = field(default=())

    def request(self, declared: Declared, work: Work, bundle: str, code: Mapping[str, str]) -> dict[str, Any]:
        """For the SDK. ``bundle`` is the URI of the export, ``code`` those of each step's code."""
        steps = []
        for name, job in self.jobs.items():
            step = {**job, "inputs": [{"name": places.BUNDLE, "folder": _folder(job, places.BUNDLE), "uri": bundle},
                                      *job["inputs"]]}  # fmt: skip
            if job["kind"] == places.TRAINING:
                step["hyperparameters"] = {
                    **job["hyperparameters"],
                    "sagemaker_program": "entry.py",
                    "sagemaker_submit_directory": code[name],
                }
            else:
                step["code"] = code[name]
            steps.append(step)
        return {
            "pipeline": pipeline_name(work.repository, work.pipeline),
            "parameter": PARAMETER,
            "region": declared.region,
            "role": declared.role,
            "bucket": declared.bucket,
            "image": declared.image,
            "instance": declared.instance,
            "volume": declared.volume,
            "steps": steps,
            "register": self.register,
        }


def _folder(job: Mapping[str, Any], name: str) -> str:
    return places.channel(job["kind"], name)


def is_training(work: Work) -> bool:
    """Whether the step is a TrainingStep: it makes the model that the pipeline registers, or says so (``with: {kind:
    training}``). Nothing is guessed from names."""
    component = work.ingredients.component
    registered = work.register is not None and work.register.component == component.name
    return registered or dict(component.settings).get("kind") == "training"


def compose(declared: Declared, works: Sequence[Work], kept: Mapping[str, Kept]) -> Composed:
    """``works`` in topological order; ``kept`` says by digest where the outputs lie that earlier jobs made."""
    specs: dict[str, Mapping[str, Any]] = {}
    jobs: dict[str, dict[str, Any]] = {}
    names = {work.ingredients.component.name: step_name(work.ingredients.component.name) for work in works}
    for work in works:
        name = names[work.ingredients.component.name]
        specs[name], jobs[name] = _step(declared, work, names, kept)
    return Composed(specs, jobs, _registration(works, jobs, names, kept), tuple(names.values()))


def _step(
    declared: Declared, work: Work, names: Mapping[str, str], kept: Mapping[str, Kept]
) -> tuple[dict[str, Any], dict[str, Any]]:
    component = work.ingredients.component
    kind = places.TRAINING if is_training(work) else places.PROCESSING
    said, arrivals = spec_of(work, names, kept, declared.bucket)
    channels: list[dict[str, str]] = []
    for one in arrivals:
        channel = places.input_channel(one.name)
        into = {"name": channel, "folder": places.channel(kind, channel)}
        if one.kept is None:
            channels.append({**into, "step": names[one.component], "output": one.output})
        else:
            channels.append({**into, "uri": one.kept.uri})
    products = [*component.outputs, *(["metrics"] if component.metrics else [])]
    _refuse_too_many(component.name, kind, channels, products)
    instance = component.limits.instance or declared.instance
    if not declared.may_run_on(instance):
        allowed = ", ".join(sorted({declared.instance, *declared.instances}))
        raise Refused(
            f"submitting {component.name}: this backend does not offer the instance {instance}; it has {allowed}"
        )
    timeout = component.limits.timeout
    name = names[component.name]
    spec = {"kind": kind, **said}
    job = {
        "name": name, "title": component.name, "kind": kind, "instance": instance, "key": name, "code": None,
        "seconds": min(_MOST_SECONDS, int(timeout) + _MARGIN_SECONDS if timeout else _DEFAULT_SECONDS),
        "inputs": channels, "outputs": _outputs(name, kind, products), "property_file": None,
        "hyperparameters": _shown(work) if kind == places.TRAINING else {},
    }  # fmt: skip
    if kind == places.PROCESSING and component.metrics:
        job["property_file"] = {"name": _PROPERTY_FILE, "output": "metrics", "path": FLAT_METRICS}
    return spec, job


def _outputs(step: str, kind: str, products: Sequence[str]) -> list[dict[str, str]]:
    """A training job's outputs are its two archives. A name of S3 that begins another one's would be taken for it: hence
    the ending, which holds what no name of an output does."""
    if kind == places.TRAINING:
        return []
    return [
        {"name": name, "folder": places.output(kind, name), "key": f"{step}/{name}.out"} for name in (*products, REPORT)
    ]


def _refuse_too_many(step: str, kind: str, channels: Sequence[object], products: Sequence[str]) -> None:
    """SageMaker's bounds; the bundle and the code take two inputs, the report one output."""
    if kind == places.PROCESSING and (len(channels) > _MOST_INPUTS - 2 or len(products) > _MOST_OUTPUTS - 1):
        raise Refused(
            f"submitting {step}: a SageMaker job reads at most {_MOST_INPUTS - 2} outputs of other steps and makes at most "
            f"{_MOST_OUTPUTS - 1}; put some into one folder"
        )


def _shown(work: Work) -> dict[str, str]:
    """The parameters, for SageMaker's console; what the step gets is in its code's spec, the same texts."""
    flags = list(work.ingredients.flags)[:_MOST_PARAMETERS]
    return {name[:256]: " ".join(" ".join(texts).split())[:_LONGEST_PARAMETER] for name, texts in flags}


def _registration(
    works: Sequence[Work], jobs: Mapping[str, Mapping[str, Any]], names: Mapping[str, str], kept: Mapping[str, Kept]
) -> dict[str, Any] | None:
    """The model's version in SageMaker's own registry, behind a condition that says Refit's gates again. Left out where
    the submission does not measure, where its model is not known, and where a gate is no bound by a number: only Refit
    knows the baseline. Refit's own verdict does not read it."""
    register = works[0].register
    gates = plain_gates(works[0])
    measuring = [name for name, job in jobs.items() if job["property_file"]]
    if register is None or gates is None or len(measuring) != 1:
        return None
    model = _model(works, register.component, register.output, names, kept)
    if model is None:
        return None
    return {
        "name": _REGISTER, "condition": _GATES, "group": group_name(register.model), "model": model,
        "description": f"{works[0].repository} {works[0].pipeline}, registered behind its gates",
        "measured_by": measuring[0], "property_file": _PROPERTY_FILE,
        "gates": [{"metric": gate.metric, "operator": gate.operator, "value": gate.value} for gate in gates],
    }  # fmt: skip


def _model(
    works: Sequence[Work], component: str, output: str, names: Mapping[str, str], kept: Mapping[str, Kept]
) -> dict[str, str] | None:
    if component in names:
        return {"step": names[component], "output": output}
    for work in works:
        for name, source in work.ingredients.component.inputs:
            if source == UpstreamInput(component, output) and name in work.inputs:
                found = kept.get(work.inputs[name].digest)
                return {"uri": found.uri} if found is not None and is_archive(found) else None
    return None
