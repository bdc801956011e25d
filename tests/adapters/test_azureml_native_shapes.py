"""Azure ML's YAML in the shapes that public repositories have: what is read of each, what always runs, what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.backends.azureml.native.converting import SandboxConverter
from service.adapters.backends.azureml.native.definitions import NativeDefinitions
from service.adapters.reading import IsolatedReader
from service.domain.assessment import Assessment
from service.domain.errors import Refused
from service.domain.pipeline import Component, RepositoryInput, UriInput
from tests.desks import Desk, changed

REFIT = (
    "version: 1\ntriggers: {push: [main]}\npipelines:\n  p:\n    uses: 'azureml:ml/pipeline.yml'\n    backend: azure\n"
)
PIPELINE = "ml/pipeline.yml"
FIXED = "azureml:sklearn-env:3"


def never() -> Path:
    raise AssertionError("YAML needs no SDK")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with IsolatedReader() as reader:
        converter = SandboxConverter(never, tmp_path / "state")
        found = Desk(tmp_path / "repository", NativeDefinitions(reader, converter), reader)
        found.write("refit.yaml", REFIT)
        for name in ("prep", "train", "score"):
            found.write(f"ml/src/{name}.py", f"import lib\nprint({name!r})\n")
        found.write("ml/src/lib.py", "x = 1\n")
        found.write("ml/data/a.csv", "1,2\n")
        yield found


def steps(found: Assessment) -> dict[str, Component]:
    return {one.name: one for one in found.manifest.pipelines[0].components}


def always(found: Assessment) -> dict[str, tuple[str, ...]]:
    made = {name: one.ingredients.unknowable for (_, name), one in found.components.items()}
    return {name: why for name, why in made.items() if why}


def one_job(job: str, rest: str = "") -> str:
    return f"type: pipeline\n{rest}jobs:\n  step:\n" + "".join(f"    {line}\n" for line in job.strip().splitlines())


def read(desk: Desk, job: str, rest: str = "") -> tuple[Component, Assessment]:
    desk.write(PIPELINE, one_job(job, rest))
    found = desk.at(desk.commit())
    return steps(found)["step"], found


# whole repositories ---------------------------------------------------------------------------------------------------


def test_jobs_inline_that_share_a_folder_with_environments_by_their_latest_version(desk: Desk) -> None:
    """The layout of the MLOps templates."""
    desk.write(PIPELINE, """
$schema: https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json
type: pipeline
inputs:
  input: {type: uri_folder, path: ./data/}
outputs:
  prepared:
  model:
settings: {default_datastore: azureml:workspaceblobstore, default_compute: azureml:c, continue_on_step_failure: false}
jobs:
  prep_data:
    name: prep_data
    code: ./src
    command: >-
      python prep.py
      --raw ${{inputs.raw}}
      --out ${{outputs.prepared}}
    environment: azureml:taxi-env@latest
    inputs:
      raw: ${{parent.inputs.input}}
    outputs:
      prepared: ${{parent.outputs.prepared}}
  train_model:
    name: train_model
    code: ./src
    command: python train.py --data ${{inputs.data}} --name ${{inputs.name}} --model ${{outputs.model}}
    environment: azureml:taxi-env@latest
    inputs:
      data: ${{parent.jobs.prep_data.outputs.prepared}}
      name: "taxi"
    outputs:
      model: ${{parent.outputs.model}}
""")  # fmt: skip
    before = desk.at(desk.commit())
    found = steps(before)
    assert found["prep_data"].run == "python3 ml/src/prep.py"
    assert ("raw", RepositoryInput("ml/data")) in found["prep_data"].inputs
    assert found["train_model"].upstream == ("prep_data",)
    assert found["train_model"].outputs == ("model",)
    why = "the version of azureml:taxi-env@latest cannot be resolved"
    assert always(before) == {"prep_data": (why,), "train_model": (why,)}
    desk.edit("ml/src/train.py", "'train'", "'fit'")
    desk.write("refit.yaml", REFIT + "    components:\n      prep_data: {constant_inputs: [environment]}\n"
               "      train_model: {constant_inputs: [environment]}\n")  # fmt: skip
    after = desk.at(desk.commit())
    assert always(after) == {}, "refit.yaml says that it stays what it is"
    desk.edit("ml/src/train.py", "'fit'", "'train'")
    assert changed(after, desk.at(desk.commit())) == {"train_model"}


def test_components_by_file_with_a_hyphen_in_their_jobs_names(desk: Desk) -> None:
    """The layout of the examples' CLI folders: `file:` before a path, a sibling folder for each component's code."""
    desk.write("ml/prep/prep.yml", f"type: command\nname: prep\nversion: 1\ninputs:\n  raw: {{type: uri_folder}}\n"
               f"outputs:\n  clean: {{type: uri_folder}}\ncode: ../src\nenvironment: {FIXED}\n"
               "command: python prep.py ${{inputs.raw}} ${{outputs.clean}}\n")  # fmt: skip
    desk.write(PIPELINE, """
type: pipeline
inputs: {raw: {type: uri_folder, path: ./data}}
outputs: {clean: {mode: upload}}
compute: azureml:c
jobs:
  prep-job:
    type: command
    component: file:./prep/prep.yml
    inputs: {raw: "${{parent.inputs.raw}}"}
    outputs: {clean: "${{parent.outputs.clean}}"}
  score-job:
    type: command
    component: azureml:score_component@latest
    compute: azureml:gpu
    inputs: {data: "${{parent.jobs.prep-job.outputs.clean}}", table: "azureml:reference:4"}
  other:
    component: azureml://registries/azureml/components/score/versions/2
    inputs: {data: "${{parent.jobs.prep-job.outputs.clean}}"}
""")  # fmt: skip
    before = desk.at(desk.commit())
    assert {name: one.upstream for name, one in steps(before).items()} == {
        "prep-job": (), "score-job": ("prep-job",), "other": ("prep-job",),
    }  # fmt: skip
    assert always(before) == {"score-job": ("the version of azureml:score_component@latest cannot be resolved",)}
    assert steps(before)["score-job"].limits.instance == "gpu"
    desk.edit(PIPELINE, "reference:4", "reference:5")
    after = desk.at(desk.commit())
    assert changed(before, after) == {"score-job"}, "a fixed version is a value like any other"
    desk.edit(PIPELINE, "versions/2", "versions/3")
    desk.edit("ml/prep/prep.yml", "version: 1", "version: 2")
    assert changed(after, desk.at(desk.commit())) == {"other"}, "the version of a local component says nothing"


SWEEP = """
type: sweep
trial: ./train.yml
inputs: {data: {type: uri_folder, path: ./data}, kernel: rbf}
outputs: {model: {type: mlflow_model}}
sampling_algorithm: random
search_space:
  c: {type: uniform, min_value: 0.5, max_value: 0.9}
objective: {goal: minimize, primary_metric: loss}
limits: {max_total_trials: 5, max_concurrent_trials: 3, timeout: 7200}
"""


def test_a_sweep_counts_by_its_space_and_its_trial(desk: Desk) -> None:
    desk.write("ml/train.yml", f"type: command\ninputs:\n  data: {{type: uri_folder}}\n  c: {{type: number, default: 1}}\n"
               "  kernel: {type: string, default: linear}\noutputs:\n  model: {type: mlflow_model}\n"
               f"code: ./src\nenvironment: {FIXED}\ncommand: python train.py --c ${{{{inputs.c}}}}\n")  # fmt: skip
    step, before = read(desk, SWEEP)
    assert (step.run, step.outputs, step.limits.timeout) == ("python3 ml/src/train.py", ("model",), 7200)
    assert dict(step.settings)["input.kernel"] == "rbf"
    for old, new, expected in (
        ("0.9", "0.8", {"step"}), ("minimize", "maximize", {"step"}), ("trials: 5", "trials: 6", {"step"}),
        ("concurrent_trials: 3", "concurrent_trials: 1", set()),
    ):  # fmt: skip
        desk.edit(PIPELINE, old, new)
        after = desk.at(desk.commit())
        assert changed(before, after) == expected, old
        before = after


def test_pipelines_inside_a_pipeline_are_flattened(desk: Desk) -> None:
    desk.write("ml/fit/fit.yml", f"""
type: pipeline
inputs: {{data: {{type: uri_folder}}, rate: {{type: number, default: 0.1}}}}
outputs: {{model: {{type: mlflow_model}}, log: {{type: uri_folder}}}}
jobs:
  aside:
    command: echo 1
    environment: {FIXED}
    outputs: {{said: "${{{{parent.outputs.log}}}}"}}
  train:
    command: python train.py ${{{{inputs.data}}}} --rate ${{{{inputs.rate}}}}
    code: ../src
    environment: {FIXED}
    inputs: {{data: "${{{{parent.inputs.data}}}}", rate: "${{{{parent.inputs.rate}}}}"}}
    outputs: {{best: "${{{{parent.outputs.model}}}}"}}
""")  # fmt: skip
    desk.write(PIPELINE, """
type: pipeline
inputs: {raw: {type: uri_folder, path: data}}
jobs:
  one: {type: pipeline, component: ./fit/fit.yml, inputs: {data: "${{parent.inputs.raw}}", rate: 0.5}}
  two: {type: pipeline, component: ./fit/fit.yml, inputs: {data: "${{parent.inputs.raw}}"}}
  score:
    command: python score.py ${{inputs.a}} ${{inputs.b}}
    code: src
    environment: azureml:sklearn-env:3
    inputs: {a: "${{parent.jobs.one.outputs.model}}", b: "${{parent.jobs.two.outputs.model}}"}
""")  # fmt: skip
    before = desk.at(desk.commit())
    found = steps(before)
    assert list(found) == ["one-aside", "one-train", "two-aside", "two-train", "score"]
    assert dict(found["score"].settings)["input.a"] == "one-train.best"
    assert [dict(found[name].settings)["input.rate"] for name in ("one-train", "two-train")] == ["0.5", "0.1"]
    assert ("data", RepositoryInput("ml/data")) in found["two-train"].inputs
    desk.edit("ml/fit/fit.yml", "default: 0.1", "default: 0.2")
    assert changed(before, desk.at(desk.commit())) == {"two-train"}


def test_parallel_and_spark_name_their_script_by_a_key(desk: Desk) -> None:
    parallel, before = read(desk, f"""
type: parallel
mini_batch_size: "1"
retry_settings: {{max_retries: 2}}
inputs: {{rows: {{type: uri_folder, path: ./data}}}}
input_data: ${{{{inputs.rows}}}}
task: {{type: run_function, code: ./src, entry_script: score.py, environment: {FIXED}, program_arguments: --fast}}
""")  # fmt: skip
    assert parallel.run == "python3 ml/src/score.py"
    desk.edit(PIPELINE, "--fast", "--slow")
    assert changed(before, desk.at(desk.commit())) == {"step"}
    spark, _ = read(
        desk, "type: spark\ncode: ./src\nentry: {file: prep.py}\nconf: {spark.driver.cores: 1}\nargs: --a 1"
    )
    assert spark.run == "python3 ml/src/prep.py"
    automl, found = read(desk, "type: automl\ntask: regression\ntarget_column_name: y\nprimary_metric: r2_score\n"
                         "training_data: {type: mltable, path: ./data}")  # fmt: skip
    assert ("training_data", RepositoryInput("ml/data")) in automl.inputs
    assert (dict(automl.settings)["task.name"], always(found)) == ("regression", {})
    bound, before = read(desk, "type: automl\ntask: regression\nlimits: {max_trials: 3, timeout_minutes: 9}\n"
                         "training_data: ${{parent.inputs.rows}}", "inputs: {rows: {type: mltable, path: ./data}}\n")  # fmt: skip
    assert ("training_data", RepositoryInput("ml/data")) in bound.inputs
    desk.edit(PIPELINE, "timeout_minutes: 9", "timeout_minutes: 8")
    assert changed(before, desk.at(desk.commit())) == set()
    desk.edit(PIPELINE, "max_trials: 3", "max_trials: 4")
    assert changed(before, desk.at(desk.commit())) == {"step"}


# commands -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "run", "counts"),
    [
        ("python score.py --a ${{inputs.a}} $[[--b ${{inputs.b}}]]", "python3 ml/src/score.py", {"score.py", "lib.py"}),
        ("/usr/bin/python3 -u score.py", "python3 ml/src/score.py", {"score.py", "lib.py"}),
        ("python deep/start.py", "python3 ml/src/deep/start.py", {"deep/start.py", "deep/near.py", "lib.py"}),
        ("python -m deep.start", "python3 -m deep.start", {"deep/start.py", "lib.py"}),
        ("cd deep && python start.py", "python3 ml/src/deep/start.py", {"deep/start.py", "deep/near.py"}),
        ("pip install 'numpy<3' -q && python score.py", "python3 ml/src/score.py", {"score.py", "lib.py"}),
        ("pip install -r r.txt && echo 1; python score.py", "python3 ml/src/score.py", {"score.py", "lib.py"}),
        (
            "ls .\npython prep.py \\\n  --a 1\npython score.py",
            "python3 ml/src/prep.py",
            {"prep.py", "score.py", "lib.py"},
        ),
        ("python prep.py --next score.py", "python3 ml/src/prep.py", {"prep.py", "score.py", "lib.py"}),
    ],
)
def test_the_script_that_a_command_starts(desk: Desk, command: str, run: str, counts: set[str]) -> None:
    desk.write("ml/src/deep/start.py", "import near, lib\n")
    desk.write("ml/src/deep/near.py", "x = 1\n")
    desk.write("ml/src/r.txt", "numpy\n")
    text = command.replace("\n", "\n  ")
    step, found = read(desk, f"code: ./src\nenvironment: {FIXED}\ninputs: {{a: 1, b: 2}}\ncommand: |\n  {text}")
    assert step.run == run
    made = found.components["p", "step"].ingredients
    assert made.notes == ()
    assert {p.subject.removeprefix("ml/src/") for p in made.parts if p.subject.endswith(".py")} == counts


@pytest.mark.parametrize(
    "command",
    [
        "bash run.sh", "python train.py | tee log", "python -c 'import train'", "python -m pytest", "python gone.py",
        "PYTHONPATH=. python train.py", "export PYTHONPATH=$(pwd) && python train.py", "pip install . && python train.py",
        "python ${{inputs.script}}", "torchrun train.py", "cd .. && python train.py", "python 'train.py",
        "python prep.py && cd deep && python start.py",
    ],
)  # fmt: skip
def test_what_is_not_understood_makes_all_that_is_sent_count_and_says_so(desk: Desk, command: str) -> None:
    desk.write("ml/src/deep/start.py", "import near\n")
    desk.write("ml/src/run.sh", "python train.py\n")
    text = f"code: ./src\nenvironment: {FIXED}\ninputs: {{script: train.py}}\ncommand: |\n  {command}"
    step, before = read(desk, text)
    assert step.run == ""
    note = "which script its command starts is not known: everything below ml/src counts"
    assert before.components["p", "step"].ingredients.notes == (note,)
    desk.edit("ml/src/score.py", "'score'", "'other'")
    assert changed(before, desk.at(desk.commit())) == {"step"}


def test_what_lies_outside_the_code_folder_is_not_imported(desk: Desk) -> None:
    desk.write("ml/src/score.py", "import lib, shared\n")
    desk.write("shared.py", "x = 1\n")
    _, before = read(desk, f"code: ./src\nenvironment: {FIXED}\ncommand: python score.py")
    desk.write("shared.py", "x = 2\n")
    assert changed(before, desk.at(desk.commit())) == set()


def test_ignore_files_at_the_top_decide_what_is_sent(desk: Desk) -> None:
    job = f"code: ./src\nenvironment: {FIXED}\ncommand: bash run.sh"
    desk.write("ml/src/deep/.amlignore", "*\n")
    for path in ("a.json", "b.txt", "deep/c.txt", "keep/d.txt", "__pycache__/e.pyc"):
        desk.write(f"ml/src/{path}", "1")

    def sent() -> set[str]:
        step, _ = read(desk, job)
        assert step.native is not None
        return {path.removeprefix("ml/src/") for path in step.native.ships if not path.endswith((".py", "ignore"))}

    assert sent() == {"a.json", "b.txt", "deep/c.txt", "keep/d.txt"}
    desk.write("ml/src/.gitignore", "# why\n\nb.*\n")
    assert sent() == {"a.json", "deep/c.txt", "keep/d.txt"}
    desk.write("ml/src/.amlignore", "keep/\n!keep/d.txt\ndeep\n")
    assert sent() == {"a.json", "b.txt", "keep/d.txt"}, ".gitignore has no say, and the last pattern decides"


def test_what_is_included_from_elsewhere_counts_by_its_bytes(desk: Desk) -> None:
    desk.write("common/tools.py", "x = 1\n")
    desk.write("ml/train.yml", f"type: command\ncode: ./src\nenvironment: {FIXED}\ncommand: python train.py\n"
               "additional_includes: [../common]\n")  # fmt: skip
    step, before = read(desk, "type: command\ncomponent: ./train.yml")
    assert step.inputs == (("code/common", RepositoryInput("common")),)
    desk.write("common/tools.py", "x = 1  # why\n")
    assert changed(before, desk.at(desk.commit())) == {"step"}
    desk.edit("ml/train.yml", "additional_includes: [../common]\n", "")
    desk.write("ml/train.additional_includes", "../common.zip\n")
    assert steps(desk.at(desk.commit()))["step"].inputs == step.inputs


# environments, data, what always runs ---------------------------------------------------------------------------------


def test_environments_in_all_their_forms(desk: Desk) -> None:
    job = "code: ./src\ncommand: python train.py\nenvironment: "
    desk.write("ml/conda.yml", "name: a\ndependencies: [numpy=1]\n")
    desk.write("ml/env/env.yml", "name: e\nversion: 1\nimage: i:1\nconda_file: ../conda.yml\n")
    desk.write("ml/env/Dockerfile", "FROM i:1\n")
    by_file, one = read(desk, f"{job}file:env/env.yml")
    inline, other = read(desk, f"{job}{{image: 'i:1', conda_file: ./conda.yml, name: other}}")
    assert by_file.settings == inline.settings
    assert changed(one, other) == set()
    assert dict(inline.settings)["environment.conda.dependencies"] == '["numpy=1"]'
    desk.edit("ml/conda.yml", "name: a", "name: b")
    assert changed(other, desk.at(desk.commit())) == set()
    desk.edit("ml/conda.yml", "numpy=1", "numpy=2")
    assert changed(other, desk.at(desk.commit())) == {"step"}
    context, _ = read(desk, f"{job}{{build: {{path: ./env, dockerfile_path: Dockerfile}}}}")
    assert context.inputs == (("environment.build", RepositoryInput("ml/env")),)
    _, found = read(desk, f"{job}{{image: 'registry:5000/i'}}")
    assert "has no fixed version" in found.components["p", "step"].ingredients.notes[0]
    _, found = read(desk, f"{job}azureml://registries/azureml/environments/x/labels/latest")
    assert "labels/latest cannot be resolved" in always(found)["step"][0]


def test_data_outside_always_runs_until_it_is_said_to_stay(desk: Desk) -> None:
    job = f"code: ./src\nenvironment: {FIXED}\ncommand: python train.py\ninputs:\n"
    for text, why in (
        ("azureml:d@latest", "azureml:d@latest"), ("azureml:d", "azureml:d"),
        ("azureml://datastores/x/paths/y", "azureml://datastores/x/paths/y"), ("https://a.b/c.csv", "https://a.b/c.csv"),
        ("azureml:d:3", ""), ("azureml://registries/r/data/d/versions/1", ""),
    ):  # fmt: skip
        step, found = read(desk, f"{job}  d: {{type: uri_file, path: '{text}'}}")
        assert always(found) == ({"step": (f"the version of {why} cannot be resolved",)} if why else {})
        assert dict(step.settings)["input.d"] == text, "its name counts, whatever it holds"
    step, found = read(desk, f"{job}  d: wasbs://c@a/x.csv")
    assert step.inputs == (("d", UriInput("wasbs://c@a/x.csv")),), "a script may read what its arguments name"
    desk.write("ml/data/MLTable", "paths: [{file: 'https://a.b/c.csv'}]\n")
    _, found = read(desk, f"{job}  d: {{type: mltable, path: ./data}}")
    assert always(found) == {"step": ("the version of https://a.b/c.csv cannot be resolved",)}


@pytest.mark.parametrize(
    ("job", "rest", "why"),
    [
        ("is_deterministic: false\n", "", "its component says is_deterministic: false"),
        ("", "settings: {force_rerun: true}\n", "the pipeline's settings say force_rerun: true"),
        ("type: import\n", "", "what it imports lies outside the repository"),
        ("type: do_while\n", "", "jobs of type do_while are not understood"),
    ],
)
def test_what_always_runs_says_why(desk: Desk, job: str, rest: str, why: str) -> None:
    _, found = read(desk, f"{job}code: ./src\ncommand: python train.py\nenvironment: {FIXED}", rest)
    assert always(found) == {"step": (why,)}


def test_code_elsewhere_always_runs(desk: Desk) -> None:
    _, found = read(desk, f"code: git+https://x/y\ncommand: python train.py\nenvironment: {FIXED}")
    assert always(found) == {"step": ("its code at git+https://x/y is outside the repository",)}


# what is refused ------------------------------------------------------------------------------------------------------

JOB = f"environment: {FIXED}\ncommand: python train.py\n"


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (f"{JOB}code: ../../src", "jobs.step.code: '../../src' leads out of the repository"),
        (f"{JOB}code: /etc", "jobs.step.code: '/etc' is an absolute path, and lies outside the repository"),
        (f"{JOB}code: ./link", "jobs.step.code: ml/link: links out of the repository"),
        (f"{JOB}code: ./holder", "jobs.step.code: ml/holder/inner: links out of the repository"),
        (f"{JOB}code: ./around", "jobs.step.code: ml/holder/inner: links out of the repository"),
        (f"{JOB}code: ./gone", "jobs.step.code: './gone' is neither a file nor a folder at this commit"),
        (
            f"{JOB}additional_includes: [../../x]",
            "jobs.step.additional_includes: '../../x' leads out of the repository",
        ),
        (f"{JOB}inputs: {{d: {{type: uri_file, path: ../../x}}}}", "jobs.step.inputs.d.path: '../../x' leads out"),
        (
            f"{JOB}inputs: {{d: {{type: uri_file, path: 'file:///etc/passwd'}}}}",
            "'file:///etc/passwd' is an absolute path",
        ),
        (
            f"{JOB}inputs: {{d: {{type: uri_folder, path: ./holder}}}}",
            "jobs.step.inputs.d.path: ml/holder/inner: links out",
        ),
        ("command: x\nenvironment: {build: {path: ../..}}", "jobs.step.environment.build.path: '../..' leads out"),
        (
            "command: x\nenvironment: {image: i, conda_file: ../../c.yml}",
            "environment.conda_file: '../../c.yml' leads out",
        ),
        ("component: ../../c.yml", "jobs.step.component: '../../c.yml' leads out of the repository"),
        ("component: ./gone.yml", "jobs.step.component: './gone.yml' is neither a file nor a folder"),
        (
            f"{JOB}inputs: {{d: '${{{{parent.jobs.stp.outputs.x}}}}'}}",
            "the job stp, which is none; did you mean 'step'?",
        ),
        (f"{JOB}inputs: {{d: '${{{{parent.inputs.raw}}}}'}}", "the pipeline's input raw, which is none; there is none"),
        (f"{JOB}inputs: {{d: {{dataset: x}}}}", "inputs.d: it has neither `path` nor `value`, but dataset"),
        ("- a", "jobs.step: it is no mapping"),
    ],
)
def test_what_leaves_the_repository_or_leads_nowhere_is_refused(desk: Desk, job: str, words: str) -> None:
    (desk.folder / "ml/link").symlink_to("/etc")
    (desk.folder / "ml/holder").mkdir()
    (desk.folder / "ml/around").mkdir()
    (desk.folder / "ml/around/on").symlink_to("../holder")
    (desk.folder / "ml/holder/inner").symlink_to("../../../secret")
    with pytest.raises(Refused) as refused:
        read(desk, job)
    assert words in str(refused.value.reason)
    assert "reading ml/pipeline.yml" in refused.value.reason


def test_a_link_inside_the_repository_counts_with_what_it_leads_to(desk: Desk) -> None:
    desk.write("shared/table.txt", "1")
    (desk.folder / "ml/src/shared").symlink_to("../../shared")
    _, before = read(desk, f"{JOB}code: ./src")
    desk.write("shared/table.txt", "2")
    assert changed(before, desk.at(desk.commit())) == {"step"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type: command\ncommand: x\n", "its type is command; `uses` in refit.yaml names a pipeline"),
        ("type: pipeline\n", "it has no jobs"),
        ("type: pipeline\njobs: []\n", "jobs: it is no mapping"),
        ("type: [", "is not valid YAML"),
        ("type: pipeline\ncomponent: azureml:whole:1\n", "is in the workspace alone"),
        ("type: pipeline\njobs: {a b: {command: x}}\n", "'a b' is no name of a job"),
        ("type: pipeline\ninputs: {a: '${{parent.inputs.a}}'}\njobs: {s: {command: x, inputs: {a: '${{parent.inputs.a}}'}}}\n",
         "it is no pipeline that Azure ML takes (RecursionError"),
        ("type: pipeline\njobs: {s: {type: pipeline, component: ./pipeline.yml}}\n", "lie too deep inside each other"),
        ("type: pipeline\njobs: {a: {command: x, inputs: {i: '${{parent.jobs.b.outputs.o}}'}}, "
         "b: {command: x, inputs: {i: '${{parent.jobs.a.outputs.o}}'}}}\n", "these jobs need each other in a cycle: a, b"),
    ],
)  # fmt: skip
def test_what_is_no_pipeline_is_refused(desk: Desk, text: str, words: str) -> None:
    desk.write(PIPELINE, text)
    with pytest.raises(Refused) as refused:
        desk.at(desk.commit())
    assert words in refused.value.reason


def test_hints_name_steps_that_exist(desk: Desk) -> None:
    desk.write("refit.yaml", REFIT + "    components: {stp: {constant_inputs: [d]}}\n")
    with pytest.raises(Refused, match="hints for stp, which is no job; there is step"):
        read(desk, f"{JOB}code: ./src")
