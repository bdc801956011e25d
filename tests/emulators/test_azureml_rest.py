"""The emulator of Azure ML refuses what Azure refuses, its jobs really progress, and it survives being killed."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.emulators.azureml.process import AzureML, require_azurite, running
from tests.emulators.azureml.rest import Rest, binding, literal, node
from tests.emulators.azureml.tokens import STORAGE

FOLDER, FILE = {"type": "uri_folder"}, {"type": "uri_file"}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureML]:
    require_azurite()
    with running(tmp_path_factory.mktemp("azureml")) as started:
        yield started


@pytest.fixture
def rest(cloud: AzureML) -> Iterator[Rest]:
    yield Rest(cloud)
    cloud.clear()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:80]


def writes(rest: Rest, text: str, **more: Any) -> str:
    return rest.component(f"echo {text} > ${{{{outputs.out}}}}/x", outputs={"out": FOLDER}, **more)


def reads(rest: Rest, **more: Any) -> str:
    return rest.component("cat ${{inputs.data}}/x", inputs={"data": FOLDER}, **more)


def is_running(pid: int) -> bool:
    """Nor a zombie, which some machines' first process leaves."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(") ")[2][0] != "Z"


def said(answer: httpx.Response, status: int, code: str) -> str:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code), answer.text
    return str(error["message"])


# it runs ---------------------------------------------------------------------------------------------------------------


def test_nodes_run_in_order_and_everything_of_them_is_told(rest: Rest, name: str) -> None:
    jobs = {"b": node(reads(rest), inputs={"data": binding("a", "out")}), "a": node(writes(rest, "41"))}
    made = rest.submit(name, jobs, experimentName="numbers", tags={"who": "tests"})
    assert made.status_code == 201
    assert made.json()["properties"]["services"]["Studio"]["endpoint"].startswith("https://ml.azure.com/runs/")
    assert rest.ended(name)["status"] == "Completed"
    children = rest.children(name)
    assert {one: found["status"] for one, found in children.items()} == {"a": "Completed", "b": "Completed"}
    assert children["a"]["endTimeUtc"] <= children["b"]["startTimeUtc"]
    assert rest.log(children["b"]["runId"]) == "41\n"
    logs = rest.plane("history/v1.0", f"runs/{children['b']['runId']}/details")["logFiles"]
    assert sorted(logs) == ["system_logs/lifecycler/lifecycler.log", "user_logs/std_log.txt"]
    assert rest.blob(children["a"]["runId"], "out", "/x") == b"41\n"
    assert children["a"]["parentRunId"] == children["a"]["rootRunId"] == name
    assert rest.get(f"jobs/{children['a']['runId']}").json()["properties"] is None, "a child is told by its history"
    assert rest.plane("history/v1.0", f"runs/{name}")["runType"] == "azureml.PipelineRun"
    assert [one["name"] for one in rest.get("jobs").json()["value"]].count(name) == 1


def test_a_command_gets_values_defaults_and_optional_parts(rest: Rest, name: str) -> None:
    inputs = {"n": {"type": "integer", "default": "3"}, "flag": {"type": "boolean"}, "no": {"type": "string", "optional": True},
              "yes": {"type": "string", "optional": True}, "place": FOLDER}  # fmt: skip
    command = "echo ${{inputs.n}} ${{inputs.flag}} $[[--no ${{inputs.no}}]] $[[--yes ${{inputs.yes}}]] ${{inputs.place}} $COLOUR"
    command += " $[[--both ${{inputs.no}} ${{inputs.yes}}]]"
    uri = "azureml://datastores/workspaceblobstore/paths/nowhere/"
    component = rest.component(command, inputs=inputs, environment_variables={"COLOUR": "red", "SIZE": "1"})
    given = {
        "flag": literal("true"),
        "yes": literal("y"),
        "place": {"job_input_type": "uri_folder", "uri": uri, "mode": "Direct"},
    }
    rest.submit(name, {"a": node(component, inputs=given, environment_variables={"COLOUR": "blue"})})
    assert rest.ended(name)["status"] == "Completed"
    assert rest.log(rest.children(name)["a"]["runId"]) == f"3 True --yes y {uri} blue\n"


def test_a_process_knows_its_run_and_where_to_report(rest: Rest, name: str) -> None:
    lines = ["import json, os, urllib.request", "run = os.environ['MLFLOW_RUN_ID']",
             "base = os.environ['MLFLOW_TRACKING_URI'].replace('azureml:', 'https:') + '/api/2.0/mlflow/runs/'",
             "def post(what, **body):",
             "    head = {'Authorization': 'Bearer ' + os.environ['MLFLOW_TRACKING_TOKEN']}",
             "    request = urllib.request.Request(base + what, json.dumps({'run_id': run, **body}).encode(), head)",
             "    urllib.request.urlopen(request).close()",
             "post('log-metric', key='rmse', value=0.5, step=1, timestamp=1000)",
             "post('log-batch', metrics=[{'key': 'rmse', 'value': 0.25, 'step': 2, 'timestamp': 2000}],",
             "     params=[{'key': 'rate', 'value': '0.1'}], tags=[{'key': 'kind', 'value': 'linear'}])",
             "assert os.environ['AZUREML_RUN_ID'] == run",
             "os.makedirs('outputs'); open('outputs/plot.txt', 'w').write('***')",
             "print(os.environ['AZUREML_ROOT_RUN_ID'])",
             "run = os.environ['AZUREML_ROOT_RUN_ID']",
             "try: post('set-tag', key='foreign', value='1')",
             "except urllib.error.HTTPError as error: print(error.code)"]  # fmt: skip
    component = rest.component("python main.py", files={"main.py": "\n".join(lines)})
    rest.submit(name, {"a": node(component)})
    assert rest.ended(name)["status"] == "Completed"
    run = rest.children(name)["a"]["runId"]
    assert rest.log(run) == f"{name}\n403\n", "a job's token writes to its own run only"
    found = rest.plane("mlflow/v2.0", "api/2.0/mlflow/runs/get", run_id=run)["run"]["data"]
    assert found["metrics"] == [{"key": "rmse", "value": 0.25, "step": 2, "timestamp": 2000}]
    assert found["params"] == [{"key": "rate", "value": "0.1"}]
    assert rest.children(name)["a"]["tags"] == {"kind": "linear"}
    history = rest.plane("mlflow/v2.0", "api/2.0/mlflow/metrics/get-history", run_id=run, metric_key="rmse")["metrics"]
    assert [one["value"] for one in history] == [0.5, 0.25]
    last = rest.http.post(f"/metric/v2.0{rest.get('').url.path.rstrip('/')}/runs/{run}/lastvalues").json()["value"]
    assert [(one["name"], one["value"][0]["data"]) for one in last] == [("rmse", {"rmse": 0.25})]
    listed = rest.plane("artifact/v2.0", f"artifacts/ExperimentRun/dcid.{run}", path="outputs")["value"]
    assert [one["path"] for one in listed] == ["outputs/plot.txt"]
    info = rest.plane("artifact/v2.0", f"artifacts/contentinfo/ExperimentRun/dcid.{run}", path="outputs/plot.txt")
    assert httpx.get(info["contentUri"], verify=rest.cloud.trusted, trust_env=False).text == "***"


def test_a_failure_ends_the_pipeline_and_tells_why(rest: Rest, name: str) -> None:
    broken = rest.component("echo before; exit 3", inputs={"data": FOLDER})
    slow = rest.component("sleep 60")
    jobs = {"a": node(writes(rest, "1")), "b": node(broken, inputs={"data": binding("a", "out")}), "other": node(slow)}
    rest.submit(name, jobs | {"c": node(reads(rest), inputs={"data": binding("d", "out")}),
                              "d": node(writes(rest, "2", inputs={"after": FOLDER}), inputs={"after": binding("a", "out")},
                                        display_name="later")})  # fmt: skip
    assert rest.ended(name, 30)["status"] == "Failed"
    children = rest.children(name)
    assert children["b"]["status"] == "Failed"
    message = children["b"]["error"]["error"]["message"]
    assert "exited with status code 3" in message
    assert "before" in message
    assert children["other"]["status"] == "Canceled", "what runs beside a failure is ended"
    error = rest.plane("history/v1.0", f"runs/{name}/details")["error"]["error"]
    assert "failed steps" in error["message"]


def test_a_pipeline_may_go_on_after_a_failure(rest: Rest, name: str) -> None:
    broken = rest.component("sleep 0.2; exit 1", outputs={"out": FOLDER})
    jobs = {"bad": node(broken), "after": node(reads(rest), inputs={"data": binding("bad", "out")}),
            "good": node(writes(rest, "1")), "next": node(reads(rest), inputs={"data": binding("good", "out")})}  # fmt: skip
    rest.submit(name, jobs, settings={"continue_on_step_failure": True})
    assert rest.ended(name)["status"] == "Failed"
    assert {one: found["status"] for one, found in rest.children(name).items()} == {
        "bad": "Failed", "good": "Completed", "next": "Completed"}, "what a failure feeds never begins"  # fmt: skip


def test_a_cancelled_job_ends_its_processes(rest: Rest, name: str, tmp_path: Path) -> None:
    rest.submit(name, {"a": node(rest.component(f"echo $$ > {tmp_path}/pid; sleep 60 & wait"))})
    rest.until(name, "a", "Running")
    while not (tmp_path / "pid").exists():
        time.sleep(0.02)
    time.sleep(0.1)
    assert rest.post(f"jobs/{name}/cancel").status_code == 200
    assert rest.ended(name)["status"] == "Canceled"
    assert rest.children(name)["a"]["status"] == "Canceled"
    assert not is_running(int((tmp_path / "pid").read_text()))
    assert "final state" in said(rest.post(f"jobs/{name}/cancel"), 400, "UserError")


def test_a_step_has_a_time_limit(rest: Rest, name: str) -> None:
    rest.submit(name, {"a": node(rest.component("sleep 60"), limits={"timeout": "PT1S", "job_limits_type": "Command"})})
    assert rest.ended(name, 20)["status"] == "Failed"
    child = rest.children(name)["a"]
    assert (child["status"], "timeout" in child["error"]["error"]["message"]) == ("Canceled", True)


def test_equal_steps_are_reused_unless_forced(rest: Rest, name: str) -> None:
    make, read = writes(rest, name), reads(rest)
    jobs = {"a": node(make), "b": node(read, inputs={"data": binding("a", "out")})}

    def run(which: str, jobs: dict[str, Any] = jobs, **settings: Any) -> dict[str, dict[str, Any]]:
        rest.submit(f"{name}-{which}", jobs, settings=settings)
        assert rest.ended(f"{name}-{which}")["status"] == "Completed"
        return rest.children(f"{name}-{which}")

    first, second = run("1"), run("2")
    for one in ("a", "b"):
        properties = second[one]["properties"]
        assert (properties["azureml.isreused"], properties["azureml.reusedrunid"]) == ("true", first[one]["runId"])
        assert properties["azureml.reusedpipelinerunid"] == f"{name}-1"
    forced = run("3", force_rerun=True)
    assert "azureml.isreused" not in forced["a"]["properties"]
    assert run("4")["a"]["properties"]["azureml.reusedrunid"] == first["a"]["runId"], "not what was forced"
    other = {**jobs, "b": node(read, inputs={"data": binding("a", "out")}, environment_variables={"X": "1"})}
    changed = run("5", other)
    assert ["azureml.isreused" in changed[one]["properties"] for one in ("a", "b")] == [True, False]
    random = {"a": node(writes(rest, name, is_deterministic=False))}
    run("6", random)
    assert "azureml.isreused" not in run("7", random)["a"]["properties"]


def test_a_sweep_takes_the_best_trial(rest: Rest, name: str) -> None:
    report = ("python -c \"import json,os,urllib.request as u; u.urlopen(u.Request(os.environ['MLFLOW_TRACKING_URI'].replace("
              "'azureml:','https:')+'/api/2.0/mlflow/runs/log-metric',json.dumps(dict(run_id=os.environ['MLFLOW_RUN_ID'],"
              "key='score',value=${{inputs.x}})).encode(),dict(Authorization='Bearer '+os.environ['MLFLOW_TRACKING_TOKEN'])))\""
              " && echo ${{inputs.x}} > ${{outputs.out}}/x")  # fmt: skip
    trial = rest.component(report, inputs={"x": {"type": "number"}}, outputs={"out": FOLDER})
    sweep = {"type": "sweep", "trial": {"componentId": trial}, "sampling_algorithm": "grid",
             "search_space": {"x": {"type": "choice", "values": [1, 3, 2]}}, "limits": {"max_total_trials": 3},
             "objective": {"goal": "maximize", "primary_metric": "score"}}  # fmt: skip
    rest.submit(name, {"tune": sweep, "use": node(reads(rest), inputs={"data": binding("tune", "out")})})
    assert rest.ended(name)["status"] == "Completed"
    children = rest.children(name)
    tune = children["tune"]
    assert (tune["runType"], tune["properties"]["score"]) == ("hyperdrive", "3.0")
    assert tune["properties"]["best_child_run_id"] == f"{tune['runId']}_1"
    assert len(rest.children(tune["runId"])) == 3
    assert rest.log(children["use"]["runId"]) == "3\n"


def test_a_component_may_be_a_pipeline(rest: Rest, name: str) -> None:
    more = "cp -r ${{inputs.data}}/. ${{outputs.out}}; echo ${{inputs.word}} >> ${{outputs.out}}/x"
    second = rest.component(more, inputs={"data": FOLDER, "word": {"type": "string"}}, outputs={"out": FOLDER})
    inner = {
        "first": {"type": "command", "component": writes(rest, "inner")},
        "second": {
            "type": "command", "component": second, "outputs": {"out": "${{parent.outputs.done}}"},
            "inputs": {"data": "${{parent.jobs.first.outputs.out}}", "word": "${{parent.inputs.word}}"},
        },
    }  # fmt: skip
    spec = {"type": "pipeline", "name": "azureml_anonymous", "version": "1", "jobs": inner, "outputs": {"done": FOLDER},
            "inputs": {"word": {"type": "string", "default": "w"}}}  # fmt: skip
    nested = rest.put("components/nested/versions/1", {"componentSpec": spec}).json()["id"]
    rest.submit(name, {"whole": {"type": "pipeline", "componentId": nested},
                       "use": node(reads(rest), inputs={"data": binding("whole", "done")})})  # fmt: skip
    assert rest.ended(name)["status"] == "Completed"
    children = rest.children(name)
    assert sorted(rest.children(children["whole"]["runId"])) == ["first", "second"]
    assert rest.log(children["use"]["runId"]) == "inner\nw\n"


def test_outputs_go_where_they_are_told_and_become_assets(rest: Rest, name: str) -> None:
    uri = "azureml://datastores/${{default_datastore}}/paths/mine/${{name}}/"
    told = {"out": {"job_output_type": "uri_folder", "uri": uri, "assetName": f"{name}-data"}}
    rest.submit(name, {"a": node(writes(rest, "1"), outputs=told)})
    assert rest.ended(name)["status"] == "Completed"
    run = rest.children(name)["a"]["runId"]
    asset = rest.get(f"data/{name}-data/versions/1").json()
    assert asset["properties"]["dataUri"] == f"azureml://datastores/workspaceblobstore/paths/mine/{run}/"
    by_id = {"job_input_type": "uri_folder", "uri": asset["id"]}
    by_job = {"job_input_type": "uri_folder", "uri": f"azureml://jobs/{run}/outputs/out"}
    long = {"job_input_type": "uri_folder", "uri": asset["properties"]["dataUri"].replace(
        "azureml://", f"azureml:/{asset['id'].partition('/providers')[0]}/workspaces/refit/")}  # fmt: skip
    container = rest.get("datastores/workspaceblobstore").json()["properties"]["containerName"]
    https = {"job_input_type": "uri_file", "uri": f"{rest.cloud.account_url}/{container}/mine/{run}/x"}
    file = rest.component("cat ${{inputs.data}}", inputs={"data": FILE})
    jobs = {
        one: node(reads(rest), inputs={"data": given})
        for one, given in (("id", by_id), ("job", by_job), ("long", long))
    }
    rest.submit(f"{name}-2", {**jobs, "https": node(file, inputs={"data": https})})
    assert rest.ended(f"{name}-2")["status"] == "Completed"
    assert {rest.log(one["runId"]) for one in rest.children(f"{name}-2").values()} == {"1\n"}


def test_data_that_is_not_there_fails_the_step(rest: Rest, name: str) -> None:
    given = {"job_input_type": "uri_folder", "uri": "azureml://datastores/workspaceblobstore/paths/nowhere/"}
    rest.submit(name, {"a": node(reads(rest), inputs={"data": given})})
    assert rest.ended(name)["status"] == "Failed"
    assert "NotFound" in rest.children(name)["a"]["error"]["error"]["message"]


# what Azure refuses ----------------------------------------------------------------------------------------------------


def test_a_name_is_one_jobs_for_ever(rest: Rest, name: str) -> None:
    jobs = {"a": node(writes(rest, "1"))}
    assert rest.submit(name, jobs).status_code == 201
    assert rest.submit(name, jobs).status_code == 200, "the same again changes nothing"
    other = {"a": node(writes(rest, "1"), environment_variables={"X": "1"})}
    assert "already exists" in said(rest.submit(name, other), 409, "Conflict")
    rest.ended(name)
    assert len(rest.children(name)) == 1
    assert "not found" in said(rest.get("jobs/nowhere"), 404, "UserError")


def test_bad_pipelines_are_refused_before_anything_runs(rest: Rest, name: str) -> None:
    make, read = writes(rest, "1"), reads(rest)
    typed = rest.component("true", inputs={"n": {"type": "integer", "min": 1, "max": 5}, "s": {
        "type": "string", "enum": ["a", "b"], "default": "a"}})  # fmt: skip
    file = rest.component("true", inputs={"f": FILE})

    def refused(jobs: dict[str, Any], **more: Any) -> str:
        return said(rest.submit(name, jobs, **more), 400, "UserError")

    good = {"a": node(make)}
    assert "at least one job" in refused({})
    assert "compute nowhere was not found" in refused(good, settings={"default_compute": "nowhere"})
    assert "compute nowhere was not found" in refused({"a": node(make, computeId="azureml:nowhere")})
    assert "no compute" in refused(good, settings={"default_compute": ""})
    assert "does not exist" in refused({"a": node("azureml:nothing:1")})
    assert "required input data is not bound" in refused({"b": node(read)})
    assert "no input other" in refused(
        {**good, "b": node(read, inputs={"data": binding("a", "out"), "other": literal(1)})}
    )
    assert "no job z" in refused({"b": node(read, inputs={"data": binding("z", "out")})})
    assert "no output z" in refused({**good, "b": node(read, inputs={"data": binding("a", "z")})})
    assert "no input z" in refused({"b": node(read, inputs={"data": literal("${{parent.inputs.z}}")})})
    assert "literal cannot" in refused({"b": node(read, inputs={"data": literal("x")})})
    assert "uri_folder cannot be given" in refused({**good, "b": node(file, inputs={"f": binding("a", "out")})})
    assert "not of type integer" in refused({"t": node(typed, inputs={"n": literal("x")})})
    assert "between 1 and 5" in refused({"t": node(typed, inputs={"n": literal("6")})})
    assert "not one of" in refused({"t": node(typed, inputs={"n": literal("2"), "s": literal("c")})})
    assert "not of type integer" in refused({"t": node(typed, inputs={"n": literal("${{parent.inputs.k}}")})},
                                            inputs={"k": {"jobInputType": "literal", "value": "x"}})  # fmt: skip
    assert "does not exist" in refused(
        {"b": node(read, inputs={"data": {"job_input_type": "uri_folder", "uri": "azureml:no:1"}})}
    )
    assert "runs:/" in refused({"b": node(read, inputs={"data": {"job_input_type": "uri_folder", "uri": "runs:/a/b"}})})
    copy = rest.component("true", inputs={"data": FOLDER}, outputs={"out": FOLDER})
    loop = {
        "a": node(copy, inputs={"data": binding("b", "out")}),
        "b": node(copy, inputs={"data": binding("a", "out")}),
    }
    assert "cycle: a, b" in refused(loop)
    assert "not valid" in refused({"A b": node(make)})
    assert "type spark" in refused({"a": {**node(make), "type": "spark"}})
    assert "At most 50 tags" in refused(good, tags={str(one): "" for one in range(51)})
    assert rest.get(f"jobs/{name}").status_code == 404, "none of them was taken"


def test_versions_do_not_change(rest: Rest, name: str) -> None:
    path, spec = f"components/{name}/versions/1", {"type": "command", "command": "true", "name": name, "version": "1"}
    assert rest.put(path, {"componentSpec": spec}).status_code == 201
    assert rest.put(path, {"componentSpec": spec}).status_code == 200
    assert "cannot be changed" in said(rest.put(path, {"componentSpec": {**spec, "command": "false"}}), 409, "Conflict")
    anonymous = "components/azureml_anonymous/versions/11111111-2222-3333-4444-555555555555"
    for origin, status in (("YAML.COMPONENT", 201), ("DSL", 200)):
        assert rest.put(anonymous, {"componentSpec": {**spec, "_source": origin}}).status_code == status
    lost = {**spec, "environment": "azureml:nothing:1"}
    assert "does not exist" in said(
        rest.put(f"components/{name}/versions/2", {"componentSpec": lost}), 400, "UserError"
    )
    model = {"modelUri": "azureml://datastores/workspaceblobstore/paths/m/", "modelType": "custom_model"}
    assert rest.put(f"models/{name}/versions/1", model).status_code == 201
    assert rest.put(f"models/{name}/versions/2", model).status_code == 201
    assert (
        rest.put(f"models/{name}/versions/2", {**model, "stage": "Production", "tags": {"a": "b"}}).status_code == 200
    )
    assert rest.get(f"models/{name}/versions/2").json()["properties"]["tags"] == {"a": "b"}
    staged = rest.get(f"models/{name}/versions", stage="Production").json()["value"]
    assert [one["name"] for one in staged] == ["2"]
    rest.put(f"models/{name}/versions/2", {**model, "isArchived": True})
    assert [one["name"] for one in rest.get(f"models/{name}/versions").json()["value"]] == ["1"]
    assert rest.get(f"models/{name}").json()["properties"]["nextVersion"] == "3"
    said(rest.get("models/nothing/versions/1"), 404, "UserError")


def test_only_a_good_token_comes_in(cloud: AzureML, rest: Rest) -> None:
    form = {"grant_type": "client_credentials", "client_id": cloud.client_id, "client_secret": "wrong",
            "scope": f"{cloud.arm_url}/.default"}  # fmt: skip
    answer = rest.http.post(f"/{cloud.tenant}/oauth2/v2.0/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    foreign = rest.http.post(f"/{cloud.tenant}/oauth2/v2.0/token", data={
        **form, "client_secret": cloud.client_secret, "scope": "https://elsewhere/.default"}).json()["access_token"]  # fmt: skip
    forged = jwt.encode({"aud": cloud.arm_url, "exp": time.time() + 99}, "k" * 32, algorithm="HS256")
    old = jwt.encode({"aud": cloud.arm_url, "exp": time.time() - 99}, "k" * 32, algorithm="HS256")
    for token in (foreign, forged, old, "-"):
        answer = rest.http.get(rest.get("jobs").url.path, headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, token
        assert "WWW-Authenticate" in answer.headers
    elsewhere = rest.get("jobs").url.path.replace("workspaces/refit", "workspaces/other")
    said(rest.http.get(elsewhere), 404, "ResourceNotFound")


def test_an_identity_reads_blobs_if_its_role_allows_it(cloud: AzureML, rest: Rest, name: str) -> None:
    rest.submit(name, {"a": node(writes(rest, name))})
    rest.ended(name)
    container = rest.get("datastores/workspaceblobstore").json()["properties"]["containerName"]
    url = f"{cloud.blob_endpoint}/{container}/azureml/{rest.children(name)['a']['runId']}/out/x"
    head = {"Authorization": f"Bearer {cloud.token(STORAGE)}", "x-ms-version": "2021-12-02"}
    assert rest.http.get(url, headers=head).text == f"{name}\n"
    assert rest.http.get(url).status_code == 401, "a token for the workspace is none for its storage"
    cloud.deny("Microsoft.Storage/*/blobs/write")
    assert rest.http.get(url, headers=head).status_code == 200
    refused = rest.http.put(url, headers={**head, "x-ms-blob-type": "BlockBlob"}, content=b"2")
    assert (refused.status_code, refused.headers["x-ms-error-code"]) == (403, "AuthorizationPermissionMismatch")
    cloud.clear()
    assert rest.http.put(url, headers={**head, "x-ms-blob-type": "BlockBlob"}, content=b"2").status_code == 201


def test_a_client_that_stalls_keeps_nobody_waiting(cloud: AzureML) -> None:
    with socket.create_connection(("127.0.0.1", int(cloud.port))):
        assert Rest(cloud).get("jobs").status_code == 200, "no handshake was made, and none is waited for"


# trouble on demand -----------------------------------------------------------------------------------------------------


def test_faults_come_on_demand_and_requests_are_counted(cloud: AzureML, rest: Rest, name: str) -> None:
    jobs = {"a": node(writes(rest, "1"))}
    cloud.fault("jobs.put", 429, retry_after=7)
    answer = rest.submit(name, jobs)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    cloud.fault("jobs.*", 503, times=2)
    assert [rest.submit(name, jobs).status_code, rest.get("jobs").status_code] == [503, 503]
    assert rest.get(f"jobs/{name}").status_code == 404, "a fault instead of the act"
    cloud.fault("jobs.put", after=True, drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        rest.submit(name, jobs)
    assert rest.ended(name)["status"] == "Completed", "the answer is lost, the act is not"
    cloud.fault("blob.put", 500)
    with pytest.raises(AssertionError, match="on demand"):
        rest.code({"x": "y"})
    cloud.fault("jobs.get", 401)
    assert rest.get(f"jobs/{name}").status_code == 401
    before = cloud.calls()
    rest.job(name)
    after = cloud.calls()
    assert {one: count - before.get(one, 0) for one, count in after.items() if count != before.get(one)} == {
        "jobs.get": 1
    }


def test_what_a_role_does_not_allow_is_named(cloud: AzureML, rest: Rest, name: str) -> None:
    action = "Microsoft.MachineLearningServices/workspaces/jobs/write"
    cloud.deny(action)
    assert f"perform action '{action}' over scope" in said(rest.submit(name, {}), 403, "AuthorizationFailed")
    assert rest.get("jobs").status_code == 200
    cloud.clear()
    assert said(rest.submit(name, {}), 400, "UserError")


def test_the_platform_fails_hangs_and_is_slow_on_demand(cloud: AzureML, rest: Rest, name: str) -> None:
    jobs = {"a": node(writes(rest, name, is_deterministic=False))}
    cloud.trouble("a", "image")
    rest.submit(f"{name}-1", jobs)
    assert rest.ended(f"{name}-1")["status"] == "Failed"
    assert "ImageBuildFailure" in rest.children(f"{name}-1")["a"]["error"]["error"]["message"]
    cloud.trouble("a", "hang")
    rest.submit(f"{name}-2", jobs)
    rest.until(f"{name}-2", "a", "Queued")
    rest.post(f"jobs/{name}-2/cancel")
    assert rest.ended(f"{name}-2")["status"] == "Canceled"
    cloud.trouble("a", "slow", seconds=0.5)
    began = time.monotonic()
    rest.submit(f"{name}-3", jobs)
    assert rest.ended(f"{name}-3")["status"] == "Completed"
    assert time.monotonic() - began > 0.5


# being killed ----------------------------------------------------------------------------------------------------------


def test_a_killed_emulator_takes_its_jobs_up_again(tmp_path: Path, name: str) -> None:
    require_azurite()
    with running(tmp_path / "emulator") as cloud:
        rest = Rest(cloud)
        flag = tmp_path / "flag"
        waits = f"echo began >> {tmp_path}/starts; while [ ! -e {flag} ]; do sleep 0.05; done; echo done > ${{{{outputs.out}}}}/x"
        wait = rest.component(waits, outputs={"out": FOLDER})
        rest.submit(name, {"a": node(wait), "b": node(reads(rest), inputs={"data": binding("a", "out")})})
        first = rest.until(name, "a", "Running")["runId"]
        while not (tmp_path / "starts").exists():
            time.sleep(0.02)
        cloud.kill()
        flag.touch()
        cloud.restart()
        assert rest.ended(name)["status"] == "Completed", "the same token and address serve"
        children = rest.children(name)
        assert children["a"]["runId"] == first
        assert (tmp_path / "starts").read_text() == "began\n", "what ran on is not started again"
        assert rest.log(children["b"]["runId"]) == "done\n"
        flag.unlink()
        rest.submit(f"{name}-2", {"a": node(wait, environment_variables={"X": "2"})})
        rest.until(f"{name}-2", "a", "Running")
        rest.post(f"jobs/{name}-2/cancel")
        cloud.kill()
        cloud.restart()
        assert rest.ended(f"{name}-2")["status"] == "Canceled", "a cancellation is not forgotten"
        assert rest.children(f"{name}-2")["a"]["status"] == "Canceled"
        rest.submit(f"{name}-3", {"a": node(wait, environment_variables={"X": "3"})})
        run = rest.until(f"{name}-3", "a", "Running")["runId"]
        pid = int((tmp_path / "emulator" / "jobs" / run / "pid").read_text().split()[0])
    assert not is_running(pid), "an emulator that ends takes its jobs with it"
    with running(tmp_path / "emulator") as again:
        assert Rest(again).job(name)["status"] == "Completed", "another emulator knows what the first one did"
