"""refit.yaml: every mistake at once, each once, each with its place, and none that another one caused."""

from __future__ import annotations

import pytest

from service.adapters.reading import IsolatedReader
from service.domain.errors import InvalidManifest

BROKEN = """\
version: 2
on: {push: [main]}
pipelines:
  p:
    backend: locla
    components:
      train: {run: a.py, outptus: [x], inputs: {m: train.modle, n: eval.text}, outputs: [model], with: {timeout: soon}}
      eval: {outputs: [1x, text], metrics: ../m.json}
    gates: [rmse ~ 3]
    register: {model: trian.model, as: x}
"""


def mistakes(reader: IsolatedReader, text: str) -> list[str]:
    with pytest.raises(InvalidManifest) as raised:
        reader.manifest(text.encode(), ["local"])
    return [str(one) for one in raised.value.mistakes]


def test_mistakes_of_shape_hide_none_of_meaning(reader: IsolatedReader) -> None:
    assert mistakes(reader, BROKEN) == [
        "on: unknown key; triggers are declared under `triggers:`",
        "pipelines.p.backend: unknown backend 'locla'; did you mean 'local'?",
        "pipelines.p.components: these need each other in a cycle: train",
        "pipelines.p.components.eval.metrics: must be a path inside the repository",
        "pipelines.p.components.eval.outputs.0: '1x' has a form that is not allowed here",
        "pipelines.p.components.eval.run: is missing",
        "pipelines.p.components.train.inputs.m: train makes no output 'modle'; did you mean 'model'?",
        "pipelines.p.components.train.outptus: unknown key; did you mean 'outputs'?",
        "pipelines.p.components.train.with.timeout: 'soon' is not a duration such as 90s, 30m, 2h or 1d",
        "pipelines.p.gates.0: 'rmse ~ 3' is not a gate such as `rmse < 560` or `rmse <= baseline * 1.01`",
        "pipelines.p.register.model: no component 'trian'; did you mean 'train'?",
        "version: Input should be 1",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("version: 1", ["pipelines: is missing"]),
        ("pipelines: {p: {components: {a: {run: a.py}}}}", ["version: is missing"]),
        ("version: 1\npipelines: {p: {components: {a: {outputs: [x]}}}}", ["pipelines.p.components.a.run: is missing"]),
        ("version: 1\npipelines: {p: {gates: [a < 1]}}", ["pipelines.p.components: is missing"]),
        (
            "version: 1\npipelines: {p: {components: {a: {run: a.py}}, register: {as: m}}}",
            ["pipelines.p.register.model: is missing"],
        ),
    ],
)
def test_what_is_missing_is_said_once(reader: IsolatedReader, text: str, expected: list[str]) -> None:
    assert mistakes(reader, text) == expected
