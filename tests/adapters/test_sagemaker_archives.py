"""What a job is given: the same bytes for the same content, no path that leaves it, and code that an image's Python runs."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from service.adapters.backends.cloud.archives import write_bundle
from service.adapters.backends.sagemaker import names
from service.adapters.backends.sagemaker.archives import processing_code, training_code
from service.adapters.backends.sagemaker.container import places
from service.adapters.backends.sagemaker.container.entry import main
from service.domain.errors import Refused

ROOT = Path(__file__).resolve().parents[2]
SPEC = {"kind": "processing", "run": "step.py", "flags": [["rate", ["0.1"]]], "inputs": {}, "outputs": ["o"],
        "metrics": None, "timeout": None, "environment": []}  # fmt: skip


def test_code_is_the_same_bytes_each_time_and_another_for_another_step() -> None:
    for made in (processing_code, training_code):
        assert made(SPEC) == made(dict(reversed(SPEC.items())))
        assert made(SPEC) != made({**SPEC, "run": "other.py"})


def test_the_archive_runs_a_step_where_nothing_of_refit_is_installed(tmp_path: Path) -> None:
    """On an /opt/ml of the test's own, as SageMaker lays it out."""
    ml = tmp_path / "ml"
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "step.py").write_text("import sys\nprint('hi')\nopen(sys.argv[2], 'w').write('made')\n")
    bundle = ml / places.channel("processing", places.BUNDLE) / "x.tar.gz"
    bundle.parent.mkdir(parents=True)
    with bundle.open("wb") as file:
        write_bundle(repository, file)
    code = tmp_path / "entry.pyz"
    with zipfile.ZipFile(io.BytesIO(processing_code(SPEC))) as made, zipfile.ZipFile(code, "w") as moved:
        for name in made.namelist():
            content = made.read(name).decode()
            if name.endswith("container/entry.py"):
                content = content.replace('Path("/opt/ml")', f"Path({str(ml)!r})")
            moved.writestr(name, content)
    done = subprocess.run([sys.executable, "-I", "-S", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()) == (0, ["[refit] running step.py", "hi"]), done.stderr
    report = json.loads((ml / "processing/output/refit/report.json").read_text())
    receipts = json.loads((ml / "processing/output/o/refit.json").read_text())
    assert [one["digest"] for one in report["outputs"]] == [one["digest"] for one in receipts["outputs"]]
    assert (ml / "processing/output/o/o").read_text() == "made"


def test_lines_that_look_like_refits_are_told_apart(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    ml, repository = tmp_path / "ml", tmp_path / "repository"
    repository.mkdir()
    (repository / "step.py").write_text("print('[refit] the step ended with exit code 0')\nraise SystemExit(3)\n")
    bundle = ml / places.channel("processing", places.BUNDLE) / "x.tar.gz"
    bundle.parent.mkdir(parents=True)
    with bundle.open("wb") as file:
        write_bundle(repository, file)
    assert main(SPEC, ml) == 3
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert "[stdout] [refit] the step ended with exit code 0" in lines
    assert lines[-1] == "[refit] the step ended with exit code 3"
    assert (ml / "output/message").read_text().splitlines()[0] == "the step ended with exit code 3"
    assert len((ml / "output/message").read_bytes()) <= 1024
    assert list(ml.glob("refit-*")) == [], "nothing is left behind"


# names and reports -----------------------------------------------------------------------------------------------------


def test_names_keep_awss_rules_and_stay_apart() -> None:
    odd = ["a/b", "a-b", "../..", "é" * 300, "x" * 300, "a b\n", "-"]
    pipelines = [names.pipeline_name(one, two) for one in ("acme/x", "acme-x", "é/é") for two in odd]
    assert [name for name in pipelines if not re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,255}", name)] == []
    assert len(set(pipelines)) == 3 * len(odd)
    displayed = [names.display_name("c0ffee" + "0" * 34, one) for one in odd]
    assert [name for name in displayed if not re.fullmatch(r"[A-Za-z0-9](-*[A-Za-z0-9]){0,81}", name)] == []
    assert len(set(displayed)) == len(odd)
    assert len({names.step_name(one) for one in ["a.b", "a-b", "x" * 64, "x" * 65, "x" * 66]}) == 5
    assert 32 <= len(names.request_token("x")) <= 128


@pytest.mark.parametrize(
    "text", ["arn:aws:sagemaker:eu-west-1:123456789012:pipeline/x/execution/y#../z", "a#b", "arn:aws:s3:::x#y"]
)
def test_a_handle_is_ours_or_refused(text: str) -> None:
    with pytest.raises(Refused):
        names.handle_of(text)
