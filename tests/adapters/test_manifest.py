"""refit.yaml → the declared DAG: everything a valid one can say, and every way to be wrong, hostile ways included."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from service.adapters.database.documents import pipeline_of, pipeline_text
from service.adapters.reading import IsolatedReader
from service.adapters.reading.isolation import BLOB_LIMIT
from service.domain.errors import InvalidManifest
from service.domain.pipeline import (
    Component,
    Hint,
    Limits,
    Manifest,
    Native,
    NativeStep,
    Registration,
    RepositoryInput,
    Triggers,
    UpstreamInput,
    UriInput,
)

DIAMONDS = Path(__file__).resolve().parents[2] / "pipelines" / "diamonds" / "refit.yaml"

FULL = """\
version: 1
triggers: {push: [main, "release/*"], pull_request: [main]}
ignore: ["**/*.md"]
environment: [requirements.txt, Dockerfile]
pipelines:
  diamonds:
    components:
      evaluate:
        run: python -m jobs.evaluate --model ${{inputs.model}}
        inputs: {model: train.model, data: prep.test}
        metrics: out/metrics.json
      train:
        run: train.py
        params: [train, conf/x.yaml:lr]
        paths: [plugins/**]
        inputs: {data: prep.train, prior: "s3://b/k?versionId=1", list: "azureml:names:3", words: data/words.txt}
        outputs: [model]
        with: {image: a, gpu: true, timeout: 2h, retries: 2, instance: big}
      prep: {run: prep.py, outputs: [train, test]}
    gates: [rmse < 560, rmse <= baseline * 1.01]
    register: {model: train.model, as: price}
"""


def read(reader: IsolatedReader, text: str, *backends: str) -> Manifest:
    return reader.manifest(text.encode("utf-8", "surrogateescape"), backends or ("local",))


def mistakes(reader: IsolatedReader, text: str, *backends: str) -> list[str]:
    with pytest.raises(InvalidManifest) as raised:
        read(reader, text, *backends)
    assert raised.value.reason.startswith("refit.yaml: ")
    return [str(one) for one in raised.value.mistakes]


def pipeline(body: str) -> str:
    """A manifest with one pipeline ``p`` whose content is in flow style."""
    return f"version: 1\npipelines: {{p: {{{body}}}}}\n"


def component(body: str, more: str = "") -> str:
    """A manifest with one component ``train`` of pipeline ``p``."""
    return pipeline(f"components: {{train: {{run: a.py, {body}}}{more}}}")


# what a valid one says ------------------------------------------------------------------------------------------------


def test_everything_that_can_be_declared(reader: IsolatedReader) -> None:
    found = read(reader, FULL)
    assert found.triggers == Triggers(("main", "release/*"), ("main",))
    (made,) = found.pipelines
    assert (made.name, made.backend, made.ignore) == ("diamonds", "local", ("**/*.md",))
    assert made.environment == ("requirements.txt", "Dockerfile")
    assert made.gates == ("rmse < 560", "rmse <= baseline * 1.01")
    assert made.register == Registration("train", "model", "price")
    assert [one.name for one in made.components] == ["prep", "train", "evaluate"], "in topological order"
    assert made.components[1] == Component(
        name="train",
        run="train.py",
        params=("train", "conf/x.yaml:lr"),
        paths=("plugins/**",),
        inputs=(
            ("data", UpstreamInput("prep", "train")),
            ("prior", UriInput("s3://b/k?versionId=1")),
            ("list", UriInput("azureml:names:3")),
            ("words", RepositoryInput("data/words.txt")),
        ),
        outputs=("model",),
        settings=(("gpu", "True"), ("image", "a")),
        limits=Limits(timeout=7200.0, retries=2, instance="big"),
    )
    assert made.components[2].metrics == "out/metrics.json"
    assert made.components[2].products == ("metrics",)


def test_the_reference_repositorys_manifest_is_valid(reader: IsolatedReader) -> None:
    (made,) = reader.manifest(DIAMONDS.read_bytes(), ("local",)).pipelines
    assert [one.name for one in made.components] == ["preprocess", "train", "evaluate"]


def test_defaults(reader: IsolatedReader) -> None:
    found = read(reader, pipeline("components: {train: {run: a.py}}"))
    assert found.triggers == Triggers()
    (made,) = found.pipelines
    assert (made.backend, made.environment, made.ignore, made.gates, made.register) == ("local", (), (), (), None)
    assert made.components == (Component("train", "a.py"),)


def test_one_environment_file_needs_no_list(reader: IsolatedReader) -> None:
    text = "environment: requirements.txt\n" + component("")
    assert read(reader, text).pipelines[0].environment == ("requirements.txt",)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [("90", 90.0), ("90s", 90.0), ("1.5m", 90.0), ("'30 m'", 1800.0), ("2h", 7200.0), ("1d", 86400.0)],
)
def test_durations(reader: IsolatedReader, written: str, seconds: float) -> None:
    (made,) = read(reader, component(f"with: {{timeout: {written}}}")).pipelines
    assert made.components[0].limits.timeout == seconds


@pytest.mark.parametrize("text", ["0", "-1s", "soon", "1w", "1h30m", "''", "1e3"])
def test_what_is_no_duration(reader: IsolatedReader, text: str) -> None:
    (found,) = mistakes(reader, component(f"with: {{timeout: {text}}}"))
    assert found.startswith("pipelines.p.components.train.with.timeout: ")
    assert found.endswith("is not a duration such as 90s, 30m, 2h or 1d")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prep.rows", UpstreamInput("prep", "rows")),
        ("data.csv", RepositoryInput("data.csv")),
        ("prep.rows.csv", RepositoryInput("prep.rows.csv")),
        ("./prep.rows", RepositoryInput("./prep.rows")),
        (".", RepositoryInput(".")),
        ("https://x/y", UriInput("https://x/y")),
        ("azureml:a:1", UriInput("azureml:a:1")),
        ("C:/x", RepositoryInput("C:/x")),
    ],
)
def test_what_an_input_is(reader: IsolatedReader, text: str, expected: object) -> None:
    more = ", prep: {run: b.py, outputs: [rows]}"
    (made,) = read(reader, component(f"inputs: {{i: {text!r}}}", more)).pipelines
    assert made.component("train").inputs == (("i", expected),)


# every mistake at once ------------------------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_each_at_its_place(reader: IsolatedReader) -> None:
    text = """\
version: 1
on: {push: [main]}
trigers: {push: [main]}
pipelines:
  diamonds:
    backend: locl
    components:
      prep: {run: prep.py, output: [rows]}
      train: {run: train.py, inputs: {data: prep.row}, outputs: [model], with: {retries: 99, env: [1]}}
      2nd: {run: x.py}
      loop: {run: x.py, inputs: {x: loop2.y}, outputs: [y]}
      loop2: {run: x.py, inputs: {x: loop.y}, outputs: [y]}
    gates: [rmse < 5, rmse is small]
    register: {model: train.modell, as: price}
  empty: {components: {}}
"""
    assert mistakes(reader, text) == [
        "on: unknown key; triggers are declared under `triggers:`",
        "pipelines.diamonds.backend: unknown backend 'locl'; did you mean 'local'?",
        "pipelines.diamonds.components: these need each other in a cycle: loop, loop2",
        "pipelines.diamonds.components.2nd.[key]: is not a name: a letter, then letters, digits, _ or -",
        "pipelines.diamonds.components.prep.output: unknown key; did you mean 'outputs'?",
        "pipelines.diamonds.components.train.inputs.data: prep makes no output 'row'",
        "pipelines.diamonds.components.train.with.env: must be a single value",
        "pipelines.diamonds.components.train.with.retries: Input should be less than or equal to 10",
        "pipelines.diamonds.gates.1: 'rmse is small' is not a gate such as `rmse < 560` or `rmse <= baseline * 1.01`",
        "pipelines.diamonds.register.model: train makes no output 'modell'; did you mean 'model'?",
        "pipelines.empty.components: must have at least one entry",
        "trigers: unknown key; did you mean 'triggers'?",
    ]


@pytest.mark.parametrize("name", ["str", "int", "strategy", "integrate", "list", "constrained", "function"])
def test_a_component_may_have_any_name_and_its_mistakes_their_place(reader: IsolatedReader, name: str) -> None:
    text = pipeline(f"components: {{{name}: {{run: a.py, x: 1, with: {{timeout: []}}}}}}, gates: [bad]")
    assert [one.partition(": ")[0] for one in mistakes(reader, text)] == [
        f"pipelines.p.components.{name}.with.timeout",
        f"pipelines.p.components.{name}.x",
        "pipelines.p.gates.0",
    ]


def test_many_mistakes_in_one_list_hide_nothing_behind_them(reader: IsolatedReader) -> None:
    text = pipeline("components: {a: {run: a.py, outputs: [1, 2x, 3x, good, 5x, 6x, 7x, 8x]}}, backend: locl")
    found = mistakes(reader, text)
    assert len(found) == 8
    assert found[0] == "pipelines.p.backend: unknown backend 'locl'; did you mean 'local'?"


@pytest.mark.parametrize("components", ["{}", "{2nd: {run: a.py}}", "[]", "null"])
def test_a_pipeline_without_a_component_is_still_judged(reader: IsolatedReader, components: str) -> None:
    text = pipeline(f"components: {components}, backend: locl, register: {{model: a.m, as: x}}")
    assert [one.partition(": ")[0] for one in mistakes(reader, text)][:1] == ["pipelines.p.backend"]


@pytest.mark.parametrize("value", ["5", "{a: b}", "null"])
def test_an_environment_of_no_form_at_all_is_one_mistake(reader: IsolatedReader, value: str) -> None:
    assert mistakes(reader, f"environment: {value}\n" + component("")) == [
        "environment: Input should be a valid string"
    ]


@pytest.mark.parametrize("key", ["on", "'on'", "yes", "true"])
def test_yaml_1_1_reads_on_as_true_and_the_mistake_is_still_named(reader: IsolatedReader, key: str) -> None:
    (found,) = mistakes(reader, f"{key}: {{push: [main]}}\n" + component(""))
    assert found.startswith(f"{key.strip(chr(39))}: unknown key")
    if key != "yes":
        assert found.endswith("; triggers are declared under `triggers:`")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (component("outptus: [a]"), "pipelines.p.components.train.outptus: unknown key; did you mean 'outputs'?"),
        (pipeline("componets: {}, components: {a: {run: a.py}}"),
         "pipelines.p.componets: unknown key; did you mean 'components'?"),
        (pipeline("components: {a: {run: a.py}}, zzz: 1"),
         "pipelines.p.zzz: unknown key; there are backend, components, gates, register"),
        ("triggers: {pul_request: [main]}\n" + component(""), "triggers.pul_request: unknown key; did you mean 'pull_request'?"),
        (pipeline("components: {a: {run: a.py, outputs: [m]}}, register: {model: a.m, as: x, at: y}"),
         "pipelines.p.register.at: unknown key; did you mean 'as'?"),
        (pipeline("uses: 'sagemaker:p.py', backend: aws, register: {model: a.m, as: x}"),
         "pipelines.p.register: unknown key; a native definition registers its models itself"),
        (pipeline("uses: 'sagemaker:p.py', backend: aws, components: {Train: {run: a.py}}"),
         "pipelines.p.components.Train.run: unknown key; what a step runs is said by the definition that `uses` names"),
        (pipeline("uses: 'sagemaker:p.py', backend: aws, components: {Train: {path: [a]}}"),
         "pipelines.p.components.Train.path: unknown key; did you mean 'paths'?"),
    ],
)  # fmt: skip
def test_an_unknown_key_names_the_nearest_valid_one(reader: IsolatedReader, text: str, expected: str) -> None:
    assert mistakes(reader, text, "local", "aws") == [expected]


def test_a_native_definition_is_named_with_arguments_and_hints(reader: IsolatedReader) -> None:
    text = pipeline(
        "uses: 'sagemaker:./pipelines/churn/pipeline.py', backend: aws, with: {depth: 3, name: x}, gates: [auc > 0.8],"
        " components: {9-Train: {paths: [src/**], params: [train], constant_inputs: [raw]}}"
    )
    (found,) = read(reader, text, "local", "aws").pipelines
    assert (found.components, found.backend, found.gates) == ((), "aws", ("auc > 0.8",))
    assert found.native == Native(
        "sagemaker", "pipelines/churn/pipeline.py", (("depth", "3"), ("name", '"x"')),
        (("9-Train", Hint(("train",), ("src/**",), ("raw",))),),
    )  # fmt: skip
    assert pipeline_of(pipeline_text(found)) == found, "it survives the database"


@pytest.mark.parametrize("path", ["ml/pipeline.yml", "p.yaml", "ml/flow.py:make"])
def test_azure_ml_definitions_are_files_or_functions(reader: IsolatedReader, path: str) -> None:
    (found,) = read(
        reader, pipeline(f"uses: 'azureml:{path}', backend: az, with: {{rate: 0.1}}"), "local", "az"
    ).pipelines
    assert found.native == Native("azureml", path, (("rate", "0.1"),))
    step = NativeStep("command", ("a.py",), ("why",), ("note",), ("b.py",), "ml")
    made = replace(found, components=(Component("a", "python3 a.py", native=step),))
    assert pipeline_of(pipeline_text(made)) == made, "it survives the database"


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        ("uses: 'dvc:dvc.yaml', backend: aws", "pipelines.p.uses: 'dvc:dvc.yaml' has a form that is not allowed here"),
        ("uses: 'sagemaker:a/../../b.py', backend: aws",
         "pipelines.p.uses: 'a/../../b.py' is no Python file inside the repository"),
        ("uses: 'sagemaker:b.yaml', backend: aws", "pipelines.p.uses: 'b.yaml' is no Python file inside the repository"),
        ("uses: 'sagemaker:b.py'", "pipelines.p.backend: a native definition runs on a SageMaker backend; there is aws"),
        ("uses: 'sagemaker:b.py', backend: local",
         "pipelines.p.backend: a native definition runs on a SageMaker backend; there is aws"),
        ("uses: 'azureml:b.py', backend: aws",
         "pipelines.p.uses: 'b.py' is no pipeline.yml or module.py:function inside the repository"),
        ("uses: 'azureml:../b.yml', backend: aws",
         "pipelines.p.uses: '../b.yml' is no pipeline.yml or module.py:function inside the repository"),
        ("uses: 'azureml:b.py:f g', backend: aws",
         "pipelines.p.uses: 'b.py:f g' is no pipeline.yml or module.py:function inside the repository"),
        ("uses: 'azureml:b.yml'", "pipelines.p.backend: a native definition runs on an Azure ML backend; there is aws"),
        ("uses: 'sagemaker:b.py', backend: asw", "pipelines.p.backend: unknown backend 'asw'; did you mean 'aws'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_native_definition(reader: IsolatedReader, inner: str, expected: str) -> None:
    assert expected in mistakes(reader, pipeline(inner), "local", "aws")


def test_an_unknown_backend_names_those_there_are(reader: IsolatedReader) -> None:
    text = pipeline("backend: gpu, components: {a: {run: a.py}}")
    assert mistakes(reader, text, "local", "aws") == [
        "pipelines.p.backend: unknown backend 'gpu'; there are local, aws"
    ]
    assert mistakes(reader, text, "local") == ["pipelines.p.backend: unknown backend 'gpu'; there is local"]
    assert read(reader, text, "gpu").pipelines[0].backend == "gpu"


def test_an_output_that_nobody_makes_names_the_nearest(reader: IsolatedReader) -> None:
    more = ", prep: {run: b.py, outputs: [rows, words]}"
    (found,) = mistakes(reader, component("inputs: {d: prep.row}", more))
    assert found == "pipelines.p.components.train.inputs.d: prep makes no output 'row'; did you mean 'rows'?"


@pytest.mark.parametrize(
    ("components", "cycle"),
    [
        ("a: {run: x.py, inputs: {i: a.o}, outputs: [o]}", "a"),
        ("a: {run: x.py, inputs: {i: b.o}, outputs: [o]}, b: {run: x.py, inputs: {i: a.o}, outputs: [o]}", "a, b"),
        ("z: {run: x.py, outputs: [o]}, a: {run: x.py, inputs: {i: c.o, j: z.o}, outputs: [o]}, "
         "b: {run: x.py, inputs: {i: a.o}, outputs: [o]}, c: {run: x.py, inputs: {i: b.o}, outputs: [o]}, "
         "below: {run: x.py, inputs: {i: c.o}, outputs: [o]}, last: {run: x.py, inputs: {i: below.o}}", "a, b, c"),
    ],
)  # fmt: skip
def test_a_cycle_names_its_members(reader: IsolatedReader, components: str, cycle: str) -> None:
    expected = f"pipelines.p.components: these need each other in a cycle: {cycle}"
    assert mistakes(reader, pipeline(f"components: {{{components}}}")) == [expected]


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "''"])
def test_inputs_stay_inside_the_repository(reader: IsolatedReader, path: str) -> None:
    (found,) = mistakes(reader, component(f"inputs: {{d: {path}}}"))
    assert found == (
        f"pipelines.p.components.train.inputs.d: {path.strip(chr(39))!r} is neither a path inside the repository, "
        "nor a URI, nor component.output"
    )


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", '"a\\u202eb"'])
@pytest.mark.parametrize("place", ["environment", "metrics"])
def test_files_stay_inside_the_repository(reader: IsolatedReader, place: str, path: str) -> None:
    text = f"environment: [{path}]\n" + component("") if place == "environment" else component(f"metrics: {path}")
    (found,) = mistakes(reader, text)
    assert found.endswith(": must be a path inside the repository")


@pytest.mark.parametrize("name", ["2nd", "a b", "-x", "a.b", "x" * 65, "ä", "''"])
def test_names_become_flags_and_file_names(reader: IsolatedReader, name: str) -> None:
    assert len(mistakes(reader, component(f"outputs: [{name}]"))) == 1
    assert len(mistakes(reader, component(f"inputs: {{{name}: d.csv}}"))) == 1
    assert len(mistakes(reader, pipeline(f"components: {{{name}: {{run: a.py}}}}"))) == 1


def test_two_flags_of_one_name(reader: IsolatedReader) -> None:
    expected = "pipelines.p.components.train: 'd' names two inputs or outputs, and each becomes a flag"
    assert mistakes(reader, component("inputs: {d: d.csv}, outputs: [d]")) == [expected]
    assert mistakes(reader, component("outputs: [d, d]")) == [expected]
    assert mistakes(reader, component("outputs: [metrics], metrics: m.json")) == [expected.replace("'d'", "'metrics'")]


@pytest.mark.parametrize("place", ["ignore", "paths"])
@pytest.mark.parametrize("pattern", ["!", "/", "a/**b/["])
def test_a_glob_that_git_would_refuse_is_a_mistake_or_matches_nothing(
    reader: IsolatedReader, place: str, pattern: str
) -> None:
    text = f"ignore: ['{pattern}']\n" + component("") if place == "ignore" else component(f"paths: ['{pattern}']")
    try:
        reader.globs((pattern,))
    except ValueError:
        (found,) = mistakes(reader, text)
        where = "ignore.0" if place == "ignore" else "pipelines.p.components.train.paths.0"
        assert found == f"{where}: {pattern!r} is not a pattern as in .gitignore"
    else:
        read(reader, text)


# hostile or broken YAML -----------------------------------------------------------------------------------------------


def test_repeated_keys_are_a_mistake(reader: IsolatedReader) -> None:
    text = pipeline("components: {a: {run: a.py, run: b.py}}, backend: local, backend: local")
    assert mistakes(reader, text) == ["repeats the key 'backend'", "repeats the key 'run'"]


def test_anchors_and_merges_may_be_used(reader: IsolatedReader) -> None:
    text = pipeline("components: {a: &a {run: a.py, outputs: [x]}, b: {<<: *a, run: b.py}}")
    made = read(reader, text).pipelines[0]
    assert made.component("b") == Component("b", "b.py", outputs=("x",))


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
MERGES = "m0: &m0 {x: 1}\n" + "".join(f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 30))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BOMB, "expands to too much"),
        (MERGES, "expands to too much"),
        ("a: " + "[" * 200_000, "is too deep, too large or has too many aliases"),
        ("a: &a x\nb: [" + "*a, " * 5_000 + "]", "is too deep, too large or has too many aliases"),
        ("{[a]: b}", "has a key that is not a scalar"),
    ],
    ids=["aliases", "merges", "depth", "many aliases", "complex key"],
)
def test_bombs_are_refused_before_they_expand(reader: IsolatedReader, text: str, expected: str) -> None:
    assert mistakes(reader, text) == [expected]


def test_a_manifest_has_a_largest_size(reader: IsolatedReader) -> None:
    assert mistakes(reader, "#" * (BLOB_LIMIT + 1)) == [f"is larger than {BLOB_LIMIT} bytes"]


@pytest.mark.parametrize("text", ["", "# nothing", "[]", "text", "1", "null"])
def test_what_is_no_mapping(reader: IsolatedReader, text: str) -> None:
    assert mistakes(reader, text) == ["must be a mapping that starts with `version: 1`"]


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\t", "a: *b", "--- a\n--- b\n", "a: \x01", "a: \udcff"])
def test_what_is_no_yaml_says_where(reader: IsolatedReader, text: str) -> None:
    (found,) = mistakes(reader, text)
    assert found.startswith("is not valid YAML")


def test_tags_build_no_objects(reader: IsolatedReader) -> None:
    text = component("run2: !!python/object/apply:os.system ['touch /tmp/owned']")
    assert mistakes(reader, text)
    assert not Path("/tmp/owned").exists()
    assert mistakes(reader, "!!python/object/new:os.system [x]") == ["must be a mapping that starts with `version: 1`"]


@pytest.mark.parametrize("value", ["[]", "5", "{}", "null", "true"])
@pytest.mark.parametrize("place", ["run", "params", "inputs", "outputs", "with", "metrics"])
def test_a_value_of_another_shape_is_a_mistake_at_its_place(reader: IsolatedReader, place: str, value: str) -> None:
    text = pipeline(f"components: {{train: {{run: a.py, {place}: {value}}}}}")
    fits = {"params": {"[]"}, "inputs": {"{}"}, "outputs": {"[]"}, "with": {"{}"}, "metrics": {"null"}}
    if place == "run":
        text = text.replace("run: a.py, ", "")
    if value in fits.get(place, set()):
        read(reader, text)
    else:
        found = mistakes(reader, text)
        assert [one.partition(":")[0] for one in found] == [f"pipelines.p.components.train.{place}"]
