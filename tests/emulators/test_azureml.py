"""The unmodified SDK does against the emulator of Azure ML what users do: pipelines from files and from the decorator run on
real data to their end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulators.azureml.process import AzureML, require_azurite, running
from tests.emulators.azureml.rest import Rest
from tests.emulators.azureml.sdk import Refused, Sdk, client

ENVIRONMENT = "environment: {image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04}"
LOGS = """
import json, os, time, urllib.request
def log(name, value):
    url = os.environ["MLFLOW_TRACKING_URI"].replace("azureml:", "https:") + "/api/2.0/mlflow/runs/log-metric"
    body = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": name, "value": value, "timestamp": int(time.time() * 1000)}
    head = {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), head)).close()
"""
FILES = {
    "data/points.csv": "x,y\n1,2\n2,4\n3,6\n",
    "prepare/prepare.py": """
import argparse, pathlib
parser = argparse.ArgumentParser()
for name in ("--raw", "--out"): parser.add_argument(name, type=pathlib.Path)
parser.add_argument("--factor", type=float)
given = parser.parse_args()
rows = [[float(one) * given.factor for one in line.split(",")] for line in given.raw.read_text().split()[1:]]
(given.out / "rows.csv").write_text("\\n".join(f"{x},{y}" for x, y in rows))
print("prepared", len(rows), "rows")
""",
    "prepare/component.yml": f"""
$schema: https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json
name: prepare
version: 1
type: command
inputs:
  raw: {{type: uri_file}}
  factor: {{type: number, default: 1.0}}
outputs:
  out: {{type: uri_folder}}
code: .
{ENVIRONMENT}
command: python prepare.py --raw ${{{{inputs.raw}}}} --out ${{{{outputs.out}}}} --factor ${{{{inputs.factor}}}}
""",
    "train/train.py": LOGS
    + """
import argparse, pathlib, sys
parser = argparse.ArgumentParser()
for name in ("--data", "--model"): parser.add_argument(name, type=pathlib.Path)
parser.add_argument("--rate", type=float)
given = parser.parse_args()
rows = [tuple(map(float, line.split(","))) for line in (given.data / "rows.csv").read_text().split()]
slope = sum(y for _, y in rows) / sum(x for x, _ in rows)
(given.model / "model.json").write_text(json.dumps({"slope": slope, "rate": given.rate, "colour": os.environ.get("COLOUR")}))
log("score", slope * given.rate)
print("trained", slope, file=sys.stderr)
""",
    "train/component.yml": """
name: train
version: 1
type: command
inputs:
  data: {type: uri_folder}
  rate: {type: number}
outputs:
  model: {type: custom_model}
code: .
environment:
  image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04
  conda_file: {name: train, channels: [conda-forge], dependencies: [python=3.11]}
command: python train.py --data ${{inputs.data}} --model ${{outputs.model}} $[[--rate ${{inputs.rate}}]]
""",
    "evaluate/score.py": """
import json, pathlib, sys
model = json.loads((pathlib.Path(sys.argv[1]) / "model.json").read_text())
pathlib.Path(sys.argv[2]).write_text(json.dumps(model))
""",
    "evaluate/component.yml": """
name: evaluate
version: 1
type: command
inputs:
  model: {type: custom_model}
outputs:
  report: {type: uri_file}
code: .
environment: azureml:AzureML-sklearn-1.5-ubuntu22.04-py39-cpu@latest
command: python score.py ${{inputs.model}} ${{outputs.report}}
""",
    "pipeline.yml": """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
type: pipeline
display_name: three steps
experiment_name: slopes
inputs:
  raw: {type: uri_file, path: ./data/points.csv}
  rate: 0.5
outputs:
  report: {type: uri_file, mode: upload}
settings:
  default_compute: azureml:cpu-cluster
jobs:
  prepare:
    type: command
    component: ./prepare/component.yml
    inputs: {raw: "${{parent.inputs.raw}}", factor: 2}
  train:
    type: command
    component: ./train/component.yml
    inputs: {data: "${{parent.jobs.prepare.outputs.out}}", rate: "${{parent.inputs.rate}}"}
    environment_variables: {COLOUR: red}
    limits: {timeout: 60}
  evaluate:
    type: command
    component: ./evaluate/component.yml
    inputs: {model: "${{parent.jobs.train.outputs.model}}"}
    outputs: {report: "${{parent.outputs.report}}"}
""",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureML]:
    require_azurite()
    with running(tmp_path_factory.mktemp("azureml")) as started:
        yield started


@pytest.fixture(scope="module")
def shared(cloud: AzureML) -> Iterator[Sdk]:
    with client(cloud, cloud.folder / "sdk.log") as sdk:
        yield sdk


@pytest.fixture
def sdk(cloud: AzureML, shared: Sdk) -> Iterator[Sdk]:
    yield shared
    cloud.clear()


@pytest.fixture
def rest(cloud: AzureML) -> Rest:
    return Rest(cloud)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository in the layout of azureml-examples."""
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.name.replace("_", "-")[:80]


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def by_name(children: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {one["display_name"]: one for one in children}


def test_three_steps_from_files_run_to_their_end(sdk: Sdk, rest: Rest, folder: Path, name: str) -> None:
    made = sdk.submit(path=str(folder / "pipeline.yml"), name=name)
    assert (made["name"], made["status"]) == (name, "NotStarted")
    assert made["studio"].startswith(f"https://ml.azure.com/runs/{name}?wsid=/subscriptions/")
    done = sdk.wait(name=name)
    assert (done["status"], done["problem"]) == ("Completed", ""), rest.cloud.unknown()
    assert f"RunId: {name}" in done["printed"]
    children = by_name(sdk.children(name=name))
    assert {one: found["status"] for one, found in children.items()} == dict.fromkeys(
        ("prepare", "train", "evaluate"), "Completed"
    )
    assert rest.log(children["prepare"]["name"]) == "prepared 3 rows\n"
    assert rest.log(children["train"]["name"]) == "trained 2.0\n"
    assert rest.plane("mlflow/v2.0", "api/2.0/mlflow/runs/get", run_id=children["train"]["name"])["run"]["data"][
        "metrics"][0]["value"] == 1.0  # fmt: skip
    sdk.download(name=name, folder=str(folder / "got"), output="report")
    report = json.loads((folder / "got" / "named-outputs" / "report" / "report").read_text())
    assert report == {"slope": 2.0, "rate": 0.5, "colour": "red"}
    sdk.download(name=children["prepare"]["name"], folder=str(folder / "prepared"))
    assert (folder / "prepared/named-outputs/out/rows.csv").read_text() == "2.0,4.0\n4.0,8.0\n6.0,12.0"
    assert (folder / "prepared/artifacts/user_logs/std_log.txt").read_text() == "prepared 3 rows\n"
    assert name in sdk.names()
    assert rest.cloud.unknown() == [], "the SDK asked for nothing that is not there"


def test_the_second_time_nothing_is_uploaded_and_equal_steps_are_reused(
    sdk: Sdk, cloud: AzureML, folder: Path, name: str
) -> None:
    sdk.submit(path=str(folder / "pipeline.yml"), name=f"{name}-1")
    first = by_name(sdk.children(name=sdk.wait(name=f"{name}-1")["name"]))
    before = cloud.calls()
    sdk.submit(path=str(folder / "pipeline.yml"), name=f"{name}-2")
    after = cloud.calls()
    assert [after.get(one, 0) - before.get(one, 0) for one in ("codes.list", "codes.upload", "codes.put")] == [3, 0, 0]
    second = by_name(sdk.children(name=sdk.wait(name=f"{name}-2")["name"]))
    origin = first["train"]["properties"].get("azureml.reusedrunid", first["train"]["name"])
    assert second["train"]["properties"]["azureml.isreused"] == "true"
    assert second["train"]["properties"]["azureml.reusedrunid"] == origin
    source = folder / "train" / "train.py"
    source.write_text(source.read_text() + "\nprint('changed')\n")
    sdk.submit(path=str(folder / "pipeline.yml"), name=f"{name}-3")
    third = by_name(sdk.children(name=sdk.wait(name=f"{name}-3")["name"]))
    reused = {one: found["properties"].get("azureml.isreused") == "true" for one, found in third.items()}
    assert reused == {"prepare": True, "train": False, "evaluate": False}


def test_registered_assets_are_found_by_their_latest_version(sdk: Sdk, rest: Rest, folder: Path, name: str) -> None:
    name = name.replace("-", "_")  # as components must be called
    sdk.asset(
        kind="environment", path=written(folder / "environment.yml", f"name: {name}\nversion: 1\nimage: python:3.11\n")
    )
    spec = f"name: {name}\ntype: command\ninputs: {{file: {{type: uri_file}}, model: {{type: custom_model}}}}\n"
    command = f"environment: azureml:{name}@latest\ncommand: cat ${{{{inputs.file}}}} ${{{{inputs.model}}}}/model.json && echo "
    for version in ("1", "2"):
        text = f"{spec}version: {version}\n{command}version {version}\n"
        made = sdk.asset(kind="component", path=written(folder / "component.yml", text))
        assert made["version"] == version
    data = f"name: {name}\ntype: uri_file\npath: ./data/points.csv\n"
    assert sdk.asset(kind="data", path=written(folder / "data.yml", data))["version"] == "1"
    (folder / "model").mkdir()
    (folder / "model" / "model.json").write_text("{}\n")
    sdk.asset(
        kind="model",
        path=written(folder / "model.yml", f"name: {name}\nversion: 1\ntype: custom_model\npath: ./model\n"),
    )
    job = f"""
type: pipeline
compute: azureml:cpu-cluster
jobs:
  show:
    type: command
    component: azureml:{name}@latest
    inputs:
      file: {{type: uri_file, path: azureml:{name}@latest}}
      model: {{type: custom_model, path: azureml:{name}:1}}
"""
    sdk.submit(path=written(folder / "job.yml", job), name=name)
    assert sdk.wait(name=name)["status"] == "Completed"
    lines = rest.log(by_name(sdk.children(name=name))["show"]["name"]).splitlines()
    assert lines == ["x,y", "1,2", "2,4", "3,6", "{}", "version 2"]
    found = [
        sdk.find(kind="component", name=name, **which)["version"] for which in ({"label": "latest"}, {"version": "1"})
    ]
    assert found == ["2", "1"]
    with pytest.raises(Refused) as caught:
        sdk.find(kind="model", name=name, version="9")
    assert caught.value.status == 404


def test_the_decorator_composes_a_pipeline(sdk: Sdk, rest: Rest, folder: Path, name: str) -> None:
    sdk.pipeline(prepare=str(folder / "prepare/component.yml"), train=str(folder / "train/component.yml"),
                 raw=str(folder / "data/points.csv"), rate=0.25, name=name)  # fmt: skip
    done = sdk.wait(name=name)
    assert done["status"] == "Completed"
    children = by_name(sdk.children(name=name))
    assert done["outputs"]["model"].endswith(f"azureml/{children['trained']['name']}/model/")
    model = json.loads(rest.blob(children["trained"]["name"], "model", "/model.json"))
    assert model == {"slope": 2.0, "rate": 0.25, "colour": None}


def test_a_sweep_from_a_file_takes_its_best_trial(sdk: Sdk, rest: Rest, folder: Path, name: str) -> None:
    job = (
        (folder / "pipeline.yml").read_text().partition("  evaluate:")[0].partition("  train:")[0]
        + """
  tune:
    type: sweep
    trial: ./train/component.yml
    inputs: {data: "${{parent.jobs.prepare.outputs.out}}"}
    outputs: {model: {type: custom_model, mode: upload}}
    sampling_algorithm: random
    search_space:
      rate: {type: uniform, min_value: 0.1, max_value: 0.9}
    objective: {goal: maximize, primary_metric: score}
    limits: {max_total_trials: 3, max_concurrent_trials: 1}
  evaluate:
    type: command
    component: ./evaluate/component.yml
    inputs: {model: "${{parent.jobs.tune.outputs.model}}"}
    outputs: {report: "${{parent.outputs.report}}"}
"""
    )
    sdk.submit(path=written(folder / "sweep.yml", job), name=name)
    assert sdk.wait(name=name)["status"] == "Completed"
    tune = by_name(sdk.children(name=name))["tune"]
    trials = sdk.children(name=tune["name"])
    assert [one["status"] for one in trials] == ["Completed"] * 3
    rates = {one["name"]: json.loads(rest.blob(one["name"], "model", "/model.json"))["rate"] for one in trials}
    best = max(rates, key=lambda one: rates[one])
    assert tune["properties"]["best_child_run_id"] == best
    sdk.download(name=name, folder=str(folder / "got"), output="report")
    assert json.loads((folder / "got/named-outputs/report/report").read_text())["rate"] == rates[best]


def test_a_command_job_alone(sdk: Sdk, rest: Rest, folder: Path, name: str) -> None:
    job = f"type: command\ncompute: azureml:cpu-cluster\n{ENVIRONMENT}\ncode: ./evaluate\ninputs: {{word: hello}}\n"
    sdk.submit(path=written(folder / "job.yml", job + "command: ls && echo ${{inputs.word}}\n"), name=name)
    assert sdk.wait(name=name)["status"] == "Completed"
    assert rest.log(name).splitlines() == ["component.yml", "score.py", "hello"]


def test_a_failure_says_why_and_cancelling_ends_a_job(sdk: Sdk, cloud: AzureML, folder: Path, name: str) -> None:
    (folder / "evaluate" / "score.py").write_text("raise ValueError('no such slope')\n")
    sdk.submit(path=str(folder / "pipeline.yml"), name=f"{name}-1")
    done = sdk.wait(name=f"{name}-1")
    assert done["status"] == "Failed"
    assert "failed steps" in done["problem"]
    assert by_name(sdk.children(name=f"{name}-1"))["evaluate"]["status"] == "Failed"
    cloud.trouble("evaluate", "hang")
    (folder / "evaluate" / "score.py").write_text("pass\n")
    sdk.submit(path=str(folder / "pipeline.yml"), name=f"{name}-2")
    sdk.cancel(name=f"{name}-2")
    assert sdk.wait(name=f"{name}-2")["status"] == "Canceled"


def test_a_name_is_one_jobs_for_ever(sdk: Sdk, folder: Path, name: str) -> None:
    sdk.submit(path=str(folder / "pipeline.yml"), name=name)
    (folder / "pipeline.yml").write_text(FILES["pipeline.yml"].replace("factor: 2", "factor: 3"))
    with pytest.raises(Refused) as caught:
        sdk.submit(path=str(folder / "pipeline.yml"), name=name)
    assert caught.value.status == 409
    assert sdk.tag(name=name, tags={"kept": "yes"})["tags"] == {"kept": "yes"}
    sdk.wait(name=name)
    sdk.archive(name=name)
    assert name not in sdk.names()


def test_faults_reach_the_sdk(sdk: Sdk, cloud: AzureML, folder: Path, name: str) -> None:
    cloud.fault("jobs.put", 429, times=2, retry_after=0)
    before = cloud.calls().get("jobs.put", 0)
    sdk.submit(path=str(folder / "pipeline.yml"), name=f"{name}-1")
    assert cloud.calls()["jobs.put"] - before == 3, "it tries again by itself"
    cloud.fault("jobs.put", after=True, drop=True, times=1)
    sdk.submit(path=str(folder / "pipeline.yml"), name=f"{name}-2")
    assert sdk.get(name=f"{name}-2")["name"] == f"{name}-2", "the answer was lost, the act was not"
    cloud.deny("Microsoft.MachineLearningServices/workspaces/components/versions/write")
    with pytest.raises(
        Refused, match=r"perform action 'Microsoft\.MachineLearningServices/workspaces/components/versions/write'"
    ):
        sdk.submit(path=str(folder / "pipeline.yml"), name=f"{name}-3")
    for one in ("1", "2"):
        sdk.wait(name=f"{name}-{one}")


def test_a_wrong_secret_does_not_come_in(cloud: AzureML, folder: Path) -> None:
    stranger = client(cloud, folder / "sdk.log", AZURE_CLIENT_SECRET="wrong")
    with stranger as sdk, pytest.raises(Refused, match="AADSTS7000215"):
        sdk.get(name="anything")
