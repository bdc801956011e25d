"""The operator's backends: declared in a file of the operator's, every mistake told at once, named in refit.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.adapters.backends import BUILT_IN
from service.bootstrap.backends import names_of_backends, open_backends, slots_of
from service.domain.errors import Refused
from service.settings import Settings

AWS = """\
aws:
  type: sagemaker
  region: eu-west-1
  role: arn:aws:iam::123456789012:role/refit-jobs
  bucket: acme-refit
"""
AZURE = """\
azure:
  type: azureml
  subscription: 00000000-0000-0000-0000-000000000000
  resource_group: acme-ml
  workspace: acme
  compute: cpu-cluster
"""


def declared(folder: Path, text: str) -> Settings:
    path = folder / "backends.yaml"
    path.write_text(text, encoding="utf-8")
    return Settings(home=folder / "home", backends=path, slots=3)


def test_a_declared_backend_is_there_beside_the_local_one(tmp_path: Path) -> None:
    settings = declared(tmp_path, AWS + "  slots: 7\n" + AZURE)
    opened = open_backends(settings)
    assert list(opened) == ["local", "aws", "azure"] == list(names_of_backends(settings))
    assert [one.composes for one in opened.values()] == [False, True, True]
    assert slots_of(settings, opened) == {"local": 3, "aws": 7, "azure": 20}


def test_nothing_declared_is_the_local_runner(tmp_path: Path) -> None:
    assert list(open_backends(Settings(home=tmp_path))) == list(BUILT_IN)
    assert names_of_backends(declared(tmp_path, "")) == ("local",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("aws: {type: sagemaker", ["is not YAML"]),
        ("[aws]", ["must map names to backends"]),
        ("aws: {type: lambda}", ["aws.type is 'lambda'; there is azureml, sagemaker"]),
        ("aws: 3", ["aws must be a mapping that starts with `type:`"]),
        ("'a b': {type: sagemaker}", ["'a b' is not a name"]),
        ("local: {type: sagemaker}", ["local is built in"]),
        (
            AWS.replace("eu-west-1", "Frankfurt").replace("role:", "rolle:")
            + "  endpoint_url: https://user:secret@host/\n  slots: many\n",
            ["aws.region", "aws.role is missing", "aws.rolle is no key", "aws.endpoint_url: is not a URL", "aws.slots"],
        ),
        (
            AZURE.replace("cpu-cluster", "../cluster").replace("00000000-0000-0000-0000-000000000000", "mine")
            + "  image: x\n  environment: azureml:y:1\n  endpoints: {resource_manager: 'https://user:secret@host/'}\n",
            [
                "azure.compute",
                "azure.subscription",
                "endpoints.resource_manager: is not a URL",
                "azure.endpoints.active_directory is",
            ],
        ),
        (AZURE + "  image: x\n  environment: azureml:y:1\n", ["image and environment exclude each other"]),
        (AZURE + "  events_queue: 'https://a1b.queue.core.windows.net/q-1?sig=user:secret'\n", ["azure.events_queue"]),
        (AZURE + "  events_queue: http://a1b.queue.core.windows.net/refit\n", ["azure.events_queue"]),
    ],
)
def test_every_mistake_is_told_at_once(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        open_backends(declared(tmp_path, text))
    assert [one for one in [*words, "backends.yaml"] if one not in refused.value.reason] == [], refused.value.reason
    assert "user:secret" not in refused.value.reason


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="No such file"):
        open_backends(Settings(home=tmp_path, backends=tmp_path / "absent.yaml"))
