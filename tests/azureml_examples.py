"""Owns pipelines of the kinds that azureml-examples has, in shapes of our own words, with what is to be read of each; refuses to
read one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PIPELINE = "ml/pipeline.yml"
COMMON = {
    "refit.yaml": "version: 1\ntriggers: {push: [main]}\npipelines: {p: {uses: 'azureml:ml/pipeline.yml', backend: azure}}\n",
    "ml/src/a.py": "print('a')\n", "ml/src/b.py": "print('b')\n", "ml/src/fit.R": "1\n", "ml/src/more.txt": "1\n",
    "ml/src/packed.zip": "1\n", "ml/data/a.csv": "1\n", "ml/table/MLTable": "paths: [{file: ./a.csv}]\n", "ml/model/m.pkl": "1\n",
    "ml/env/conda.yml": "dependencies: [python=3.11]\n", "ml/env/Dockerfile": "FROM r:4\n",
    "ml/register.yml": "type: command\nname: register\ninputs: {m: {type: mlflow_model}, called: {type: string}}\ncode: ./src\n"
    "environment: azureml:e:3\ncommand: python a.py ${{inputs.m}} ${{inputs.called}}\n",
    "ml/fit.yml": "type: command\nname: fit\ninputs: {data: {type: uri_folder}, rate: {type: number, default: 0.1}}\n"
    "outputs: {model: {type: uri_folder}}\ncode: ./src\nenvironment: azureml:e:1\n"
    "command: python a.py ${{inputs.data}} ${{inputs.rate}} ${{outputs.model}}\n",
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """``steps``: name → (what it starts, the steps it reads, what has no version). ``edits``: (file, old, new, what changes)."""

    text: str
    steps: Mapping[str, tuple[str, tuple[str, ...], str]]
    edits: tuple[tuple[str, str, str, set[str]], ...]
    files: Mapping[str, str]


def shape(text: str, steps: Mapping[str, tuple[str, tuple[str, ...], str]], *edits: Any, **files: str) -> Shape:
    return Shape(text, steps, edits, {f"ml/{name}.yml": one for name, one in files.items()})


A, B = "python3 ml/src/a.py", "python3 ml/src/b.py"
SHAPES = {
    "hello world, whose outputs say nothing": shape(
        """
type: pipeline
outputs: {prepared: }
jobs:
  hello:
    command: echo "hi" && echo "there" > ${{outputs.said}}/said.txt
    environment: {image: python}
    outputs:
      said:
      other: ${{parent.outputs.prepared}}
  read:
    command: cat ${{inputs.said}}/said.txt
    environment: {image: python}
    inputs: {said: "${{jobs.hello.outputs.said}}", other: {type: uri_folder, path: "${{parent.jobs.hello.outputs.other}}"}}
""",
        {"hello": ("", (), ""), "read": ("", ("hello",), "")},
        (PIPELINE, "there", "again", {"hello"}),
    ),
    "pictures that a command fetches, training on several machines": shape(
        """
type: pipeline
jobs:
  get:
    type: command
    command: >-
      wget https://example.org/pictures.tar.gz;
      tar -xvzf pictures.tar.gz -C ${{outputs.pictures}};
    environment: azureml://registries/azureml/environments/sk/versions/29
    outputs: {pictures: {type: uri_folder, mode: upload}}
  train:
    type: command
    command: >-
      python a.py --data ${{inputs.pictures}}
      --epochs ${{inputs.epochs}} --out ${{outputs.out}}
    code: src
    inputs: {epochs: 1, pictures: "${{parent.jobs.get.outputs.pictures}}"}
    outputs: {out: {type: uri_folder, mode: upload}}
    environment: azureml://registries/azureml/environments/sk/versions/29
    distribution: {type: pytorch, process_count_per_instance: 1}
    resources: {instance_count: 2}
  judge:
    type: command
    command: python b.py --data ${{inputs.pictures}} --model ${{inputs.model}}/model
    code: src
    environment: azureml://registries/azureml/environments/sk/versions/29
    inputs: {pictures: "${{parent.jobs.get.outputs.pictures}}", model: "${{parent.jobs.train.outputs.out}}"}
""",
        {"get": ("", (), "https://example.org/pictures.tar.gz"), "train": (A, ("get",), ""), "judge": (B, ("get", "train"), "")},
        (PIPELINE, "per_instance: 1", "per_instance: 2", {"train"}),
        (PIPELINE, "instance_count: 2", "instance_count: 4", set()),
        ("ml/src/b.py", "'b'", "'c'", {"judge"}),
    ),
    "batches in parallel, inline": shape(
        """
type: pipeline
inputs: {model: {type: uri_folder, path: ./model, mode: download}}
outputs: {scores: {type: uri_file, mode: rw_mount}}
jobs:
  prepare:
    command: mkdir ${{outputs.rows}}/m; curl -LO https://example.org/m.tar.gz; echo "paths:" >> ${{outputs.rows}}/MLTable
    outputs: {rows: {type: mltable, mode: rw_mount}}
    environment: azureml:e:1
  predict:
    type: parallel
    inputs:
      rows: {type: mltable, path: "${{parent.jobs.prepare.outputs.rows}}", mode: eval_mount}
      model: ${{parent.inputs.model}}
    outputs: {scores: "${{parent.outputs.scores}}"}
    mini_batch_size: "5"
    mini_batch_error_threshold: 5
    logging_level: DEBUG
    input_data: ${{inputs.rows}}
    max_concurrency_per_instance: 2
    retry_settings: {max_retries: 2, timeout: 60}
    resources: {instance_count: 2}
    task:
      type: run_function
      code: ./src
      entry_script: a.py
      environment: {name: e, version: 1, image: 'mcr/mpi:3', conda_file: ./env/conda.yml}
      program_arguments: --model ${{inputs.model}}
      append_row_to: ${{outputs.scores}}
  view:
    command: cat ${{inputs.scores}}
    inputs: {scores: "${{parent.jobs.predict.outputs.scores}}"}
    environment: azureml:e:1
""",
        {"prepare": ("", (), "https://example.org/m.tar.gz"), "predict": (A, ("prepare",), ""), "view": ("", ("predict",), "")},
        ("ml/model/m.pkl", "1", "2", {"predict"}),
        ("ml/env/conda.yml", "3.11", "3.12", {"predict"}),
        (PIPELINE, "mini_batch_size: \"5\"", "mini_batch_size: \"6\"", {"predict"}),
        (PIPELINE, "max_retries: 2", "max_retries: 3", set()),
    ),
    "batches in parallel, by a component": shape(
        """
type: pipeline
inputs: {rows: {type: uri_folder, path: ./data}}
jobs:
  predict:
    type: parallel
    component: ./batches.yml
    inputs: {rows: "${{parent.inputs.rows}}", label: x}
    outputs: {out: {type: uri_file, mode: rw_mount}}
    mini_batch_size: "2"
""",
        {"predict": (A, (), "")},
        ("ml/batches.yml", "--label", "--name", {"predict"}),
        ("ml/batches.yml", 'mini_batch_size: "1"', 'mini_batch_size: "3"', set()),
        batches="""
type: parallel
name: batches
inputs: {rows: {type: uri_folder}, label: {type: string}}
outputs: {out: {type: uri_file}}
input_data: ${{inputs.rows}}
mini_batch_size: "1"
task:
  type: run_function
  code: ./src
  entry_script: a.py
  program_arguments: --label ${{inputs.label}}
  append_row_to: ${{outputs.out}}
  environment: azureml:e:1
""",
    ),
    "Spark, inline with files beside it and by a component": shape(
        """
type: pipeline
inputs: {table: {type: uri_file, path: ./data/a.csv, mode: direct}}
outputs: {out: {type: uri_folder, mode: direct}}
jobs:
  add:
    type: spark
    inputs: {table: "${{parent.inputs.table}}"}
    code: ./src
    entry: {file: a.py}
    py_files: [packed.zip]
    files: [more.txt]
    args: --table ${{inputs.table}}
    conf:
      {spark.driver.cores: 1, spark.driver.memory: 1g, spark.executor.cores: 1, spark.executor.memory: 1g,
       spark.executor.instances: 1}
    resources: {instance_type: standard_e8s_v3, runtime_version: "3.4"}
  count:
    type: spark
    component: ./spark.yml
    inputs: {table: "${{parent.inputs.table}}"}
    outputs: {out: "${{parent.outputs.out}}"}
    identity: {type: managed}
    resources: {instance_type: standard_e8s_v3, runtime_version: "3.4"}
""",
        {"add": ("", (), ""), "count": (B, (), "")},
        ("ml/src/packed.zip", "1", "2", {"add", "count"}),
        ("ml/src/a.py", "'a'", "'z'", {"add"}),
        ("ml/spark.yml", "instances: 4", "instances: 5", {"count"}),
        spark="""
type: spark
name: count
inputs: {table: {type: uri_file, mode: direct}}
outputs: {out: {type: uri_folder, mode: direct}}
conf:
  {spark.driver.cores: 1, spark.driver.memory: 2g, spark.executor.cores: 2, spark.executor.memory: 2g,
   spark.executor.instances: 4}
code: ./src
entry: {file: b.py}
args: --table ${{inputs.table}} --out ${{outputs.out}}
""",
    ),
    "AutoML between a command and a registration": shape(
        """
type: pipeline
inputs: {table: {type: mltable, path: table}}
jobs:
  prepare:
    type: command
    component: ./prepare.yml
    inputs: {table: "${{parent.inputs.table}}"}
    outputs: {clean: {type: mltable}}
  fit:
    type: automl
    task: regression
    primary_metric: r2_score
    limits: {max_trials: 1, max_concurrent_trials: 1}
    target_column_name: y
    training_data: ${{parent.jobs.prepare.outputs.clean}}
    validation_data: ${{parent.inputs.table}}
    featurization: {mode: "off"}
    training: {enable_stack_ensemble: false, enable_vote_ensemble: false}
    outputs: {best_model: {type: mlflow_model}}
  detect:
    type: automl
    task: image_object_detection
    primary_metric: mean_average_precision
    limits: {timeout_minutes: 180, max_trials: 10}
    target_column_name: label
    training_data: ${{parent.inputs.table}}
    training_parameters: {early_stopping: True}
    sweep: {sampling_algorithm: random, early_termination: {type: bandit, evaluation_interval: 2, slack_factor: 0.2}}
    search_space:
    - {model_name: {type: choice, values: [yolov5]}, learning_rate: {type: uniform, min_value: 0.1, max_value: 0.2}}
    - {model_name: {type: choice, values: [fasterrcnn]}, optimizer: {type: choice, values: [sgd, adam]}}
    outputs: {best_model: {type: mlflow_model}}
  register:
    type: command
    component: file:./register.yml
    inputs: {m: "${{parent.jobs.fit.outputs.best_model}}", called: price}
""",
        {"prepare": (A, (), ""), "fit": ("", ("prepare",), ""), "detect": ("", (), ""), "register": (A, ("fit",), "")},
        ("ml/table/MLTable", "a.csv", "b.csv", {"prepare", "fit", "detect"}),
        (PIPELINE, "[sgd, adam]", "[sgd]", {"detect"}),
        (PIPELINE, 'mode: "off"', "mode: auto", {"fit"}),
        prepare="type: command\nname: prepare\ninputs: {table: {type: mltable}}\noutputs: {clean: {type: mltable}}\ncode: ./src\n"
        "environment: azureml:e:1\ncommand: python a.py ${{inputs.table}} ${{outputs.clean}}\n",
    ),
    "hyperparameters by a component and inline": shape(
        """
type: pipeline
jobs:
  tune:
    type: sweep
    inputs: {data: {type: uri_folder, path: "wasbs://datasets@example.blob.core.windows.net/iris"}}
    outputs: {model: {type: uri_folder, mode: upload}}
    sampling_algorithm: random
    trial: ./fit.yml
    search_space: {rate: {type: choice, values: [0.1, 0.2]}}
    objective: {goal: minimize, primary_metric: loss}
    limits: {max_total_trials: 5, max_concurrent_trials: 3, timeout: 7200}
    early_termination: {type: median_stopping, delay_evaluation: 5, evaluation_interval: 1}
  again:
    type: sweep
    inputs: {data: "${{parent.jobs.tune.outputs.model}}"}
    outputs: {model: }
    sampling_algorithm: {type: random, rule: sobol, seed: 3}
    trial:
      type: command
      inputs: {data: {type: uri_folder}, rate: {type: number}}
      outputs: {model: {type: mlflow_model}}
      code: ./src
      environment: azureml:e:1
      command: python b.py ${{inputs.data}} ${{inputs.rate}}
    search_space: {rate: {type: uniform, min_value: 0.1, max_value: 0.9}}
    objective: {goal: maximize, primary_metric: f1}
    limits: {max_total_trials: 5}
""",
        {"tune": (A, (), "wasbs://datasets@example.blob.core.windows.net/iris"), "again": (B, ("tune",), "")},
        (PIPELINE, "seed: 3", "seed: 4", {"again"}),
        (PIPELINE, "[0.1, 0.2]", "[0.1]", {"tune"}),
    ),
    "registered components, by label, version and registry": shape(
        """
type: pipeline
inputs: {epochs: 20}
outputs: {model: {mode: upload}}
compute: azureml:c
jobs:
  train:
    type: command
    component: azureml:my_train@latest
    inputs: {data: {type: uri_folder, path: ./data}, epochs: "${{parent.inputs.epochs}}"}
    outputs: {model: "${{parent.outputs.model}}"}
  score:
    type: command
    component: azureml:my_score:4
    inputs: {model: "${{parent.jobs.train.outputs.model}}", test: {type: uri_folder, path: ./data}}
  judge:
    component: azureml://registries/azureml/components/judge/labels/latest
    inputs: {r: "${{parent.jobs.score.outputs.scored}}"}
  whole:
    type: pipeline
    component: azureml:whole:3
    inputs: {r: "${{parent.jobs.score.outputs.scored}}"}
""",
        {"train": ("", (), "azureml:my_train@latest"), "score": ("", ("train",), ""),
         "judge": ("", ("score",), "azureml://registries/azureml/components/judge/labels/latest"), "whole": ("", ("score",), "")},
        (PIPELINE, "my_score:4", "my_score:5", {"score"}),
        (PIPELINE, "epochs: 20", "epochs: 21", {"train"}),
        ("ml/data/a.csv", "1", "2", {"train", "score"}),
    ),
    "pipelines inside a pipeline, on machines that are inputs": shape(
        """
type: pipeline
inputs: {data: {type: uri_folder, path: ./data}, rate: 0.01, machine: c}
jobs:
  one: {type: pipeline, component: ./inner.yml, inputs: {data: "${{parent.inputs.data}}", machine: "${{parent.inputs.machine}}"}}
  two: {type: pipeline, component: ./inner.yml, inputs: {data: "${{parent.inputs.data}}", rate: "${{parent.inputs.rate}}"}}
  compare:
    type: command
    compute: "${{parent.inputs.machine}}"
    command: python b.py ${{inputs.one}} ${{inputs.two}}
    code: ./src
    environment: azureml:e:1
    inputs: {one: "${{parent.jobs.one.outputs.model}}", two: "${{parent.jobs.two.outputs.model}}"}
""",
        {"one-train": (A, (), ""), "two-train": (A, (), ""), "compare": (B, ("one-train", "two-train"), "")},
        (PIPELINE, "rate: 0.01", "rate: 0.02", {"two-train"}),
        (PIPELINE, "machine: c", "machine: d", set()),
        inner="""
type: pipeline
inputs: {data: {type: uri_folder}, rate: {type: number, default: 0.1}, machine: {type: string, default: c}}
outputs: {model: {type: uri_folder}}
jobs:
  train:
    type: command
    component: ./fit.yml
    compute: "${{parent.inputs.machine}}"
    inputs: {data: "${{parent.inputs.data}}", rate: "${{parent.inputs.rate}}"}
    outputs: {model: "${{parent.outputs.model}}"}
""",
    ),
    "R in an image of its own": shape(
        """
type: pipeline
jobs:
  r-fit:
    type: command
    component: file:./r.yml
    inputs: {table: {type: uri_file, path: ./data/a.csv}}
""",
        {"r-fit": ("", (), "")},
        ("ml/src/fit.R", "1", "2", {"r-fit"}),
        ("ml/env/Dockerfile", "r:4", "r:5", {"r-fit"}),
        r="type: command\nname: r_fit\ninputs: {table: {type: uri_file}}\ncode: ./src\nenvironment: {build: {path: ./env}}\n"
        "command: Rscript fit.R --data ${{inputs.table}}\n",
    ),
    "places of a datastore, one of them named by the job; a URL with signs": shape(
        """
type: pipeline
inputs: {table: {type: uri_file, path: "https://example.org/a(1);b.csv"}}
outputs: {out: {path: "azureml://datastores/workspaceblobstore/paths/azureml/${{name}}"}}
jobs:
  folder:
    type: command
    component: ./fit.yml
    inputs: {data: {type: uri_folder, path: "azureml://datastores/d/paths/${{name}}", mode: ro_mount}}
    outputs: {model: "${{parent.outputs.out}}"}
  fetch:
    type: command
    command: cat ${{inputs.table}} ${{inputs.out}}
    environment: azureml:e:1
    inputs: {table: "${{parent.inputs.table}}", out: "${{parent.jobs.folder.outputs.model}}"}
""",
        {"folder": (A, (), "azureml://datastores/d/paths/${{name}}"), "fetch": ("", ("folder",), "https://example.org/a(1);b.csv")},
        (PIPELINE, "paths/azureml", "paths/other", {"folder"}),
    ),
    "data that is copied": shape(
        """
type: pipeline
inputs: {one: {type: uri_folder, path: ./data}}
jobs:
  merge:
    type: data_transfer
    task: copy_data
    data_copy_mode: merge_with_overwrite
    inputs: {one: "${{parent.inputs.one}}", two: {type: uri_folder, path: ./model}}
    outputs: {out: {type: uri_folder}}
""",
        {"merge": ("", (), "what it copies lies outside the repository")},
        ("ml/data/a.csv", "1", "2", {"merge"}),
    ),
}  # fmt: skip
