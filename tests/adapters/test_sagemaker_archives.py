"""What a job is given: the same bytes for the same content, no path that leaves it, and code that an image's Python runs."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from service.adapters.backends.sagemaker import names
from service.adapters.backends.sagemaker.archives import _MODULES, processing_code, training_code, write_bundle
from service.adapters.backends.sagemaker.container import places
from service.adapters.backends.sagemaker.container.entry import main
from service.adapters.backends.sagemaker.container.packages import is_satisfied
from service.adapters.backends.sagemaker.container.upstream import Unreadable, arrived
from service.adapters.backends.sagemaker.outputs import Unbelievable, read_report
from service.domain.errors import Refused

ROOT = Path(__file__).resolve().parents[2]
SPEC = {"kind": "processing", "run": "step.py", "flags": [["rate", ["0.1"]]], "inputs": {}, "outputs": ["o"],
        "metrics": None, "timeout": None, "environment": []}  # fmt: skip


def export(folder: Path, order: int = 1) -> Path:
    for name in ("b/c.txt", "a.py", "b/a.txt", "ü/é.txt")[::order]:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        os.utime(path, (order + 5, order + 5))
    (folder / "a.py").chmod(0o755)
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def bundled(folder: Path) -> tuple[str, bytes]:
    made = io.BytesIO()
    return write_bundle(folder, made), made.getvalue()


def test_a_bundle_is_named_by_its_content_alone(tmp_path: Path) -> None:
    one, two = export(tmp_path / "one"), export(tmp_path / "elsewhere/two", -1)
    assert bundled(one) == bundled(two)
    (two / "a.py").chmod(0o644)
    assert bundled(one)[0] != bundled(two)[0], "a mode is content"
    (two / "a.py").chmod(0o755)
    (two / "link").unlink()
    (two / "link").symlink_to("/etc/shadow")
    assert bundled(one)[0] != bundled(two)[0]


def test_a_bundle_holds_relative_names_and_links_as_links(tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(bundled(export(tmp_path / "x"))[1])) as archive:
        members = {member.name: member for member in archive}
    assert sorted(members) == ["a.py", "b", "b/a.txt", "b/c.txt", "link", "ü", "ü/é.txt"]
    assert members["link"].issym()
    assert members["a.py"].mode == 0o755
    assert {(one.uid, one.gid, one.mtime) for one in members.values()} == {(0, 0, 0)}


def test_code_is_the_same_bytes_each_time_and_another_for_another_step() -> None:
    for made in (processing_code, training_code):
        assert made(SPEC) == made(dict(reversed(SPEC.items())))
        assert made(SPEC) != made({**SPEC, "run": "other.py"})


@pytest.mark.parametrize("module", _MODULES)
def test_what_runs_in_a_container_is_python_3_9_and_needs_nothing(module: str) -> None:
    path = (ROOT / Path(*module.split("."))).with_suffix(".py")
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    found |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    ours = {name for name in found if name.startswith("service.")}
    packages = {"service.adapters.backends.sagemaker.container"}
    assert ours <= {*_MODULES, *packages}, "what a container's module imports must be in the archive"
    assert {name.partition(".")[0] for name in found - ours} <= set(sys.stdlib_module_names)


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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../evil", tarfile.REGTYPE),
        ("/evil", tarfile.REGTYPE),
        ("evil", tarfile.SYMTYPE),
        ("evil", tarfile.FIFOTYPE),
    ],
)
def test_a_model_archive_writes_nothing_outside(tmp_path: Path, name: str, kind: bytes) -> None:
    folder, scratch = tmp_path / "in", tmp_path / "deep/er/scratch"
    folder.mkdir()
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member, io.BytesIO())
    with pytest.raises(Unreadable):
        arrived(folder, "model", scratch)
    outside = [path for path in tmp_path.rglob("*evil*") if not path.is_relative_to(scratch)]
    assert outside == []


@pytest.mark.parametrize(
    ("entry", "row"), [("../x", "a"), ("/etc/x", "a"), (".", "a"), ("o", "../../x"), ("o", "/etc/x")]
)
def test_a_receipt_names_nothing_outside(tmp_path: Path, entry: str, row: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rows = [{"path": row, "digest": None, "size": 0, "executable": False}]
    receipt = {"name": "o", "entry": entry, "kind": "folder", "rows": rows, "digest": "", "size": 0}
    (folder / places.RECEIPT).write_text(json.dumps({"outputs": [receipt]}))
    with pytest.raises(Unreadable, match="not below it"):
        arrived(folder, "o", tmp_path / "scratch")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("text", "satisfied"),
    [
        ("pytest=={pytest}\n", True),
        ("# c\n\npytest=={pytest} # why\n", True),
        ("pytest=={pytest} \\\n    --hash=sha256:00\n", True),
        ("pytest==0.0.1\n", False),
        ("pytest\n", False),
        ("pytest>=1\n", False),
        ("pytest=={pytest} ; sys_platform == 'win32'\n", False),
        ("no-such-package==1.0\n", False),
        ("-r other.txt\n", False),
        ("", True),
    ],
)
def test_pip_is_skipped_only_where_every_pin_is_there(text: str, satisfied: bool) -> None:
    assert is_satisfied({"r.txt": text.format(pytest=pytest.__version__).encode()}) is satisfied


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


@pytest.mark.parametrize(
    "value",
    [
        "[" * 100_000,
        "{}",
        "[]",
        {"digest": "sha256:../../x"},
        {"size": "many"},
        {"metrics": {"r2": "high"}},
        {"metrics": {"r2": True}},
        {"metrics": {"r2": 10**400}},
        {"metrics": {"r2": float("nan")}},
        {"metrics": []},
    ],
)
def test_a_report_of_another_form_is_not_believed(value: object) -> None:
    good = {"inputs": [], "outputs": [{"name": "o", "digest": "sha256:" + "0" * 64, "size": 1}], "metrics": {},
            "environment": "e", "exit_code": 0}  # fmt: skip
    assert read_report(json.dumps(good).encode()).outputs[0].size == 1
    if isinstance(value, dict) and "metrics" in value:
        text = json.dumps({**good, **value})
    elif isinstance(value, dict):
        text = json.dumps({**good, "outputs": [{**good["outputs"][0], **value}]})  # type: ignore[index, call-overload, dict-item]
    else:
        text = str(value)
    with pytest.raises(Unbelievable):
        read_report(text.encode())
