"""What a repository's own pipeline.py can reach while it is compiled, and what is left of it afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from service.adapters.backends.sagemaker.native.compiler import Account, Compiled, NativeCompiler, Use
from service.adapters.backends.sandbox import sandbox as sandboxes
from service.domain.errors import Refused
from tests.conftest import absent
from tests.disks import disk
from tests.namespaces import refused
from tests.sdks import sdks

ROOT = Path(__file__).resolve().parents[2]
STUB = """
import json
class Pipeline:
    def definition(self):
        return json.dumps({"Version": "2020-12-01", "Steps": [], "Metadata": said})
def get_pipeline(region, role=None, default_bucket=None, **more):
    return Pipeline()
"""


class Bench:
    """Compiles a pipeline.py that is written here, on any machine."""

    def __init__(self, folder: Path, *, unconfined: bool = True) -> None:
        self.secret = folder / "refit.db"
        self.secret.write_text("tokens")
        self.compiler = NativeCompiler(sdks(), folder / "native", hidden=(self.secret,), unconfined=unconfined)

    def compile(self, code: str, **arguments: object) -> Compiled:
        def export(target: Path) -> None:
            (target / "pipeline.py").write_text(dedent(code) + STUB)

        return self.compiler.compile(Use("pipeline.py", "v2", Account(), arguments), export)

    def says(self, code: str) -> object:
        return self.compile(code).definition["Metadata"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_has_no_secret_no_network_and_not_the_services_files(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIT_WEBHOOK_SECRET", "hunter2")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "hunter2")
    if bench.compiler.sandbox.missing():
        absent("unshare", bench.compiler.sandbox.missing())
    said = bench.says(f"""
        import os, socket
        said = {{"environment": dict(os.environ), "processes": [p for p in os.listdir("/proc") if p.isdigit()]}}
        said["database"] = open({str(bench.secret)!r}).read()
        try:
            socket.create_connection(("192.0.2.1", 80), 2)
        except OSError as error:
            said["network"] = error.errno
        said["interfaces"] = [name for _, name in socket.if_nameindex()]
        said["where"] = os.getcwd()
        try:
            import sagemaker
            open(os.path.join(os.path.dirname(sagemaker.__file__), "poison.py"), "w")
        except OSError as error:
            said["sdk"] = error.errno
    """)
    assert isinstance(said, dict)
    assert "hunter2" not in str(said["environment"])
    assert said["database"] == ""
    assert (said["interfaces"], said["network"]) == (["lo"], 101)
    assert len(said["processes"]) <= 3, "the service's own are not among them"
    assert (said["where"], said["sdk"]) == (sandboxes.PLACE, 30)


def test_it_writes_only_where_its_answer_is_asked_for(bench: Bench, tmp_path: Path) -> None:
    """What was compiled for other branches, and whatever else the service has, is not its to change."""
    if bench.compiler.sandbox.missing():
        absent("unshare", bench.compiler.sandbox.missing())
    remembered = tmp_path / "native" / "compiled" / "another"
    remembered.parent.mkdir(parents=True)
    remembered.write_text("as it was")
    said = bench.says(f"""
        import os, tempfile
        said = []
        for path in ({str(remembered)!r}, {str(tmp_path / "new")!r}, os.path.join(tempfile.gettempdir(), "mine"), "here"):
            try:
                said.append(open(path, "w").write("x"))
            except OSError as error:
                said.append(error.strerror)
    """)
    assert said == ["Read-only file system", "Read-only file system", 1, 1]
    assert remembered.read_text() == "as it was"


def test_a_disk_mounted_below_a_sealed_folder_is_sealed_too(bench: Bench, tmp_path: Path) -> None:
    if bench.compiler.sandbox.missing():
        absent("unshare", bench.compiler.sandbox.missing())
    with disk(tmp_path / "native" / "another disk", "nosuid,noexec,noatime") as other:
        (other / "model").write_text("as it was")
        said = bench.says(f"""
            said = [open({str(other / "model")!r}).read()]
            try:
                open({str(other / "model")!r}, "w")
            except OSError as error:
                said.append(error.strerror)
        """)
    assert said == ["as it was", "Read-only file system"]


def test_what_is_hidden_stays_hidden_from_code_that_unmounts_it(bench: Bench) -> None:
    if bench.compiler.sandbox.missing():
        absent("unshare", bench.compiler.sandbox.missing())
    said = bench.says(f"""
        import ctypes
        said = [ctypes.CDLL(None).umount2({os.fsencode(bench.secret)!r}, 2), open({str(bench.secret)!r}).read()]
    """)
    assert said == [-1, ""]


def test_nothing_is_left_of_it(bench: Bench) -> None:
    mark = f"left-behind-{os.getpid()}"
    bench.says(f"""
        import subprocess, sys
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", {mark!r}], start_new_session=True)
        said = {{}}
    """)
    deadline = time.monotonic() + 5
    while left := [pid for pid in os.listdir("/proc") if pid.isdigit() and mark in command_of(pid)]:
        assert time.monotonic() < deadline, left


def command_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("said = 1 / 0", r"pipeline.py:\d+: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit('no')", "SystemExit: no"),
        ("import os; os._exit(3)", "ended with 3 and no answer"),
        ("import ctypes; ctypes.string_at(0)", "ended with .* and no answer"),
        ("import boto3; boto3.client('sagemaker').list_models()", "compiled without AWS: SageMaker.ListModels"),
        ("said = bytearray(64 * 1024**3)", "MemoryError"),
        ("import definitely_not_there", "ModuleNotFoundError"),
    ],
)
def test_what_goes_wrong_is_told_in_its_own_words(bench: Bench, code: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        bench.compile(code)


def test_an_endless_one_is_ended(bench: Bench, tmp_path: Path) -> None:
    with bench.compiler.sandbox.checkout() as (place, _):
        began = time.monotonic()
        with pytest.raises(sandboxes.TooLong):
            bench.compiler.sandbox.run(["sleep", "60"], place, {"PATH": "/usr/bin:/bin"}, tmp_path / "log", seconds=1)
        assert time.monotonic() - began < 20


def test_where_the_kernel_refuses_namespaces_nothing_runs_without_the_operators_word(tmp_path: Path) -> None:
    code = "import pathlib, sys; from tests.adapters.test_native_sandbox import exposed; exposed(pathlib.Path(sys.argv[1]))"
    command = [*refused(), sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def exposed(folder: Path) -> None:
    """What the test before says, in a process of its own that the kernel grants no namespace."""
    bench, ran = Bench(folder, unconfined=False), folder / "ran"
    leave = f"open({str(ran)!r}, 'w')\nsaid = {{}}"
    with pytest.raises(
        Refused, match=r"compiling pipeline.py: .*no namespaces.*in reach; .*REFIT_COMPILE_UNCONFINED=true"
    ):
        bench.compile(leave)
    with bench.compiler.sandbox.checkout() as (place, _), pytest.raises(sandboxes.NoNamespaces):
        bench.compiler.sandbox.run(["touch", str(ran)], place, {}, folder / "log")
    assert not ran.exists()
    bench = Bench(folder)
    assert bench.says("import os; said = {'where': os.getcwd()}") != {"where": sandboxes.PLACE}
    test_nothing_is_left_of_it(bench)
    bench.compile(leave)
    assert ran.exists(), "this is why it needs the operator's word"


def test_arguments_go_by_the_signature(tmp_path: Path) -> None:
    compiler = NativeCompiler(sdks(), tmp_path / "native", unconfined=True)

    def compile(signature: str, **arguments: object) -> object:
        def export(target: Path) -> None:
            (target / "pipeline.py").write_text(
                "import json\n"
                f"def get_pipeline({signature}):\n"
                "    given = {name: str(one) for name, one in locals().items()}\n"
                "    class P:\n"
                "        def definition(self):\n"
                '            return json.dumps({"Steps": [], "Metadata": given})\n'
                "    return P()\n"
            )

        found = compiler.compile(Use("pipeline.py", "v2", Account(), arguments), export)
        return found.definition["Metadata"]

    told: Callable[[str], object] = lambda words: pytest.raises(Refused, match=words)  # noqa: E731
    account = Account()
    assert compile("region, role=None") == {"region": account.region, "role": account.role}
    assert compile("region, pipeline_name, x=1", x=2) == {
        "region": account.region,
        "pipeline_name": "pipeline",
        "x": "2",
    }
    with told("get_pipeline needs 'depth'"):  # type: ignore[attr-defined]
        compile("region, depth")
    with told("`with: deep` is no argument of get_pipeline; it takes depth, region"):  # type: ignore[attr-defined]
        compile("region, depth=1", deep=2)
