"""What the jobs of every cloud are given: the same bundle for the same content, no path that leaves it, code that an image's
Python runs, and reports that are believed only in their own form."""

from __future__ import annotations

import ast
import io
import json
import os
import sys
import tarfile
from pathlib import Path

import pytest

from service.adapters.backends.azureml.composing import MODULES as AZUREML
from service.adapters.backends.cloud.archives import SHARED_MODULES, write_bundle
from service.adapters.backends.cloud.outputs import Unbelievable, read_report
from service.adapters.backends.sagemaker.archives import MODULES as SAGEMAKER
from service.adapters.backends.steps.container.packages import is_satisfied
from service.adapters.backends.steps.container.receipts import RECEIPT
from service.adapters.backends.steps.container.upstream import Unreadable, arrived

ROOT = Path(__file__).resolve().parents[2]


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


@pytest.mark.parametrize("module", [*SAGEMAKER, *AZUREML, *SHARED_MODULES])
def test_what_runs_in_a_container_is_python_3_9_and_needs_nothing(module: str) -> None:
    path = (ROOT / Path(*module.split("."))).with_suffix(".py")
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]
    found = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    found |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    ours = {name for name in found if name.startswith("service.")}
    packages = {"service.adapters.backends.sagemaker.container"}
    assert ours <= {*SAGEMAKER, *AZUREML, *SHARED_MODULES, *packages}, (
        "what a container's module imports must be in the archive"
    )
    assert {name.partition(".")[0] for name in found - ours} <= set(sys.stdlib_module_names)


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
    (folder / RECEIPT).write_text(json.dumps({"outputs": [receipt]}))
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
