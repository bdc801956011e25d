"""Pipelines of the kinds that azureml-examples has, in shapes of our own words: each is read with its steps, edges and doubts, an
edit changes exactly its steps, and what is submitted of it is taken by Azure ML's SDK."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.adapters.backends.azureml import names
from service.adapters.backends.azureml.native.converting import SandboxConverter
from service.adapters.backends.azureml.native.definitions import NativeDefinitions
from service.adapters.backends.azureml.native.flattening import Flattening
from service.adapters.git.checkout import Checkout
from service.adapters.reading import IsolatedReader
from service.domain.errors import Refused
from service.domain.pipeline import Native
from tests.azureml_examples import COMMON, PIPELINE, SHAPES, Shape, shape
from tests.desks import Desk, changed
from tests.sdks import azure_sdks

_LOADED = """
import json, sys
from azure.ai.ml import load_job
for name in sys.argv[1:]:
    try:
        job = load_job(name)
        print("=" + json.dumps([name, {one: type(node).__name__ for one, node in job.jobs.items()}]))
    except Exception as error:
        print("=" + json.dumps([name, f"{type(error).__name__}: {str(error)[:600]}"]))
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[[Shape, str], Desk]]:
    with IsolatedReader() as reader:

        def made(one: Shape, folder: str = "repository") -> Desk:
            definitions = NativeDefinitions(
                reader, SandboxConverter(azure_sdks().python, tmp_path / "state", unconfined=True)
            )
            found = Desk(tmp_path / folder, definitions, reader)
            for path, text in {**COMMON, PIPELINE: one.text, **one.files}.items():
                found.write(path, text)
            return found

        yield made


def flat(desk: Desk) -> dict[str, Any]:
    """All of it as it is submitted."""
    with Checkout(desk.folder) as repository:
        read = desk.definitions.read(Native("azureml", PIPELINE), repository, desk.commit())  # type: ignore[attr-defined]
        nodes = {job.name: names.node_name(job.name) for job in read.jobs}
        flattening = Flattening(read.sources, nodes, {}, "./repository")
        jobs = {nodes[job.name]: flattening.job(job) for job in read.jobs}
    for job in jobs.values():
        job.pop("compute", None)  # a bare name becomes one with a prefix elsewhere
    return {"type": "pipeline", "settings": {"default_compute": "azureml:c"}, "inputs": flattening.inputs, "jobs": jobs}


@pytest.mark.parametrize("name", SHAPES)
def test_steps_edges_doubts_and_what_an_edit_changes(desk: Callable[..., Desk], name: str) -> None:
    wanted = SHAPES[name]
    made = desk(wanted)
    before = made.at(made.commit())
    (pipeline,) = before.manifest.pipelines
    doubts = {step: one.ingredients.unknowable for (_, step), one in before.components.items()}
    assert {one.name: (one.run, one.upstream) for one in pipeline.components} == {
        step: (run, upstream) for step, (run, upstream, _) in wanted.steps.items()
    }
    for step, (_, _, doubt) in wanted.steps.items():
        assert (len(doubts[step]), doubt in "".join(doubts[step])) == (bool(doubt), True), step
    for path, old, new, expected in wanted.edits:
        made.edit(path, old, new)
        after = made.at(made.commit())
        assert changed(before, after) == expected, f"{old} → {new}"
        before = after


def test_what_is_submitted_of_them_is_taken_by_the_sdk(desk: Callable[..., Desk], tmp_path: Path) -> None:
    wanted = {}
    for number, one in enumerate(SHAPES.values()):
        folder = f"{number}/repository"
        document = flat(desk(one, folder))
        (tmp_path / f"{number}/job.yml").write_text(json.dumps(document))
        wanted[f"{number}/job.yml"] = sorted(document["jobs"])
    done = subprocess.run(
        [azure_sdks().python(), "-c", _LOADED, *wanted], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = dict(json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("="))
    assert {name: sorted(jobs) if isinstance(jobs, dict) else jobs for name, jobs in found.items()} == wanted


@pytest.mark.parametrize(
    ("text", "files", "words"),
    [
        ("inputs: {url: '${data.url}'}\n    component: ./flow.yml", {"flow": "nodes: [{name: x, type: python}]\n"},
         "jobs.step.component: ml/flow.yml is a prompt flow, whose code Refit does not read; a command that starts it is read"),
        ("component: ./flow.yml", {"flow": "$schema: https://x/promptflow/Run\nflow: ./flow\n"}, "is a prompt flow"),
        ("component: {type: command, code: ./src, command: x}\n    inputs: {d: {dataset: {local_path: ./data}}}", {},
         "jobs.step.inputs.d: it has neither `path` nor `value`, but dataset; mend it there, and push"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_with_the_job_and_what_to_do(
    desk: Callable[..., Desk], text: str, files: dict[str, str], words: str
) -> None:
    made = desk(shape(f"type: pipeline\njobs:\n  step:\n    {text}\n", {}, **files))
    with pytest.raises(Refused) as refused:
        made.at(made.commit())
    assert words in refused.value.reason


@pytest.mark.parametrize("kind", ["do_while", "parallel_for", "if_else"])
def test_loops_and_choices_are_planned_and_refused_by_name_when_they_are_submitted(
    desk: Callable[..., Desk], kind: str
) -> None:
    text = "type: pipeline\njobs:\n  body: {command: echo 1, environment: azureml:e:1}\n"
    text += f"  step: {{type: {kind}, body: '${{{{parent.jobs.body}}}}'}}\n"
    made = desk(shape(text, {}))
    found = made.at(made.commit())
    assert found.components["p", "step"].ingredients.unknowable == (f"jobs of type {kind} are not understood",)
    with pytest.raises(
        Refused, match=f"submitting step: jobs of type {kind} are a private preview.* as jobs of its own"
    ):
        flat(made)
