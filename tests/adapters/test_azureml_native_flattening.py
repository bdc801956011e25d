"""Jobs of every kind, flattened, are taken by the unmodified SDK; what is left out is given by place, in its reader's terms."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.adapters.backends.azureml.native.converting import SandboxConverter
from service.adapters.backends.azureml.native.definitions import NativeDefinitions
from service.adapters.backends.azureml.native.flattening import Flattening
from service.adapters.git.checkout import Checkout
from service.adapters.reading import IsolatedReader
from service.domain.errors import Refused
from service.domain.pipeline import Native
from tests.desks import Desk
from tests.sdks import azure_sdks

PIPELINE = """
type: pipeline
inputs:
  rows: {type: mltable, path: ./data}
  machine: cpu-cluster
jobs:
  prep:
    type: command
    component: ./prep.yml
    inputs: {raw: {type: uri_folder, path: azureml://datastores/d/paths/x, mode: download}}
    compute: ${{parent.inputs.machine}}
  tune:
    type: sweep
    trial: ./train.yml
    inputs: {data: "${{parent.jobs.prep.outputs.clean}}"}
    search_space: {rate: {type: uniform, min_value: 0.1, max_value: 0.9}}
    objective: {goal: minimize, primary_metric: loss}
    sampling_algorithm: random
    limits: {max_total_trials: 2}
  score:
    type: parallel
    mini_batch_size: "1"
    input_data: ${{inputs.rows}}
    inputs:
      rows: {type: mltable, path: "${{parent.inputs.rows}}"}
      model: {type: mlflow_model, path: "${{parent.jobs.tune.outputs.model}}"}
    outputs: {scores: {type: uri_file}}
    resources: {instance_count: 1}
    task: {type: run_function, code: ./src, entry_script: score.py, environment: file:env.yml}
  learn:
    type: automl
    task: regression
    primary_metric: r2_score
    target_column_name: y
    training_data: ${{parent.inputs.rows}}
    limits: {max_trials: 1}
    outputs: {best_model: {type: mlflow_model}}
  whole:
    type: command
    component: azureml:ready@latest
    inputs: {model: {type: mlflow_model, path: "${{parent.jobs.learn.outputs.best_model}}"}, at: https://a.b/c}
"""
FILES = {
    "refit.yaml": "version: 1\n",
    "ml/pipeline.yml": PIPELINE,
    "ml/prep.yml": "type: command\nname: prep\ninputs: {raw: {type: uri_folder}}\noutputs: {clean: {type: uri_folder}}\n"
    "code: ./src\nadditional_includes: [../common, ../packed.zip]\ncommand: python prep.py ${{inputs.raw}} ${{outputs.clean}}\n"
    "environment: {build: {path: ./docker}}\n",
    "ml/train.yml": "type: command\nname: train\ninputs: {data: {type: uri_folder}, rate: {type: number, default: 1e-3}}\n"
    "outputs: {model: {type: mlflow_model}}\ncode: ./src\nenvironment: ./env.yml\ncommand: python t.py ${{inputs.rate}}\n",
    "ml/env.yml": "image: python:3.11\nconda_file: conda.yml\n",
    "ml/conda.yml": "dependencies: [python=3.11]\n",
    "ml/docker/Dockerfile": "FROM python:3.11\n",
    "ml/src/score.py": "print(1)\n",
    "ml/data/MLTable": "paths: [{file: ./a.csv}]\n",
    "common/a.py": "x = 1\n",
    "packed/b.py": "x = 1\n",
}
_LOADED = """
import json, sys
from azure.ai.ml import load_job
job = load_job(sys.argv[1])
print("=" + json.dumps({name: type(node).__name__ for name, node in job.jobs.items()}))
"""


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with IsolatedReader() as reader:
        converter = SandboxConverter(azure_sdks().python, tmp_path / "state", unconfined=True)
        made = Desk(tmp_path / "repository", NativeDefinitions(reader, converter), reader)
        for path, text in FILES.items():
            made.write(path, text)
        yield made


def flat(desk: Desk, selected: set[str], kept: dict[tuple[str, str], str]) -> dict[str, Any]:
    with Checkout(desk.folder) as repository:
        read = desk.definitions.read(Native("azureml", "ml/pipeline.yml"), repository, desk.commit())  # type: ignore[attr-defined]
        flattening = Flattening(read.sources, {name: name for name in sorted(selected)}, kept, "./repository")
        jobs = {job.name: flattening.job(job) for job in read.jobs if job.name in selected}
        return {"type": "pipeline", "inputs": flattening.inputs, "jobs": jobs}


def test_jobs_of_every_kind_are_taken_by_the_sdk(desk: Desk, tmp_path: Path) -> None:
    document = flat(desk, {"prep", "tune", "score", "learn", "whole"}, {})
    (tmp_path / "job").mkdir()
    (tmp_path / "job/repository").symlink_to(desk.folder)
    (tmp_path / "job/job.yml").write_text(json.dumps(document))
    done = subprocess.run(
        [azure_sdks().python(), "-c", _LOADED, "job.yml"],
        cwd=tmp_path / "job",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    loaded = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("="))[1:])
    assert loaded == {
        "prep": "Command", "tune": "Sweep", "score": "Parallel", "learn": "RegressionJob", "whole": "Command",
    }  # fmt: skip
    assert document["inputs"] == {}
    prep = document["jobs"]["prep"]
    assert prep["inputs"]["raw"] == {"type": "uri_folder", "path": "azureml://datastores/d/paths/x", "mode": "download"}
    assert prep["component"]["additional_includes"] == ["./repository/common", "./repository/packed.zip"]
    assert prep["component"]["environment"] == {"build": {"path": "./repository/ml/docker"}}
    assert prep["compute"] == "cpu-cluster"
    assert document["jobs"]["score"]["task"]["environment"]["conda_file"] == {"dependencies": ["python=3.11"]}
    assert document["jobs"]["learn"]["training_data"] == {"type": "mltable", "path": "./repository/ml/data"}


def test_what_is_left_out_is_given_by_its_place_in_the_readers_type(desk: Desk) -> None:
    kept = {("tune", "model"): "azureml://datastores/d/paths/m", ("prep", "clean"): "azureml://datastores/d/paths/c"}
    document = flat(desk, {"score", "tune"}, kept)
    assert document["inputs"] == {
        "prep_clean_uri_folder": {"type": "uri_folder", "path": "azureml://datastores/d/paths/c"}
    }
    document = flat(desk, {"score"}, kept)
    assert document["inputs"] == {
        "tune_model_mlflow_model": {"type": "mlflow_model", "path": "azureml://datastores/d/paths/m"}
    }
    assert document["jobs"]["score"]["inputs"]["model"] == "${{parent.inputs.tune_model_mlflow_model}}"
    with pytest.raises(Refused, match="the output model of tune, which it reads, is not there any more"):
        flat(desk, {"score"}, {})
