"""Processes of steps: whole trees end, orphans are found, strangers are left alone, and a run outlives its service."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from service.adapters.backends.local.files import RunFolder, read_json, write_json
from service.adapters.backends.local.processes import MARK, end_left, is_alive, start_ticks
from service.domain.execution import Seen
from service.domain.pipeline import UpstreamInput
from tests.backends import Bench, local, submit, work

ROOT = Path(__file__).resolve().parents[2]

STUBBORN = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
where = pathlib.Path(sys.argv[1])
code = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
sleep, deep = code + "time.sleep(600)", code + "os.fork(); os.fork(); time.sleep(600)"
for name, code, options in (
    ("plain", sleep, {}),
    ("session", sleep, {"start_new_session": True}),
    ("group", sleep, {"process_group": 0}),
    ("unmarked", sleep, {"env": {}}),
    ("deep", deep, {}),
):
    child = subprocess.Popen([sys.executable, "-c", code, str(where)], **options)
    (where / name).write_text(str(child.pid))
(where / "step").write_text(str(os.getpid()))
print("begun", flush=True)
time.sleep(600)
"""
"""A step that will not go: it and its children ignore SIGTERM, some leave its session, its group or its environment."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return local(tmp_path_factory.mktemp("local"))


@pytest.fixture
def where(tmp_path: Path) -> Path:
    (tmp_path / "pids").mkdir()
    return tmp_path / "pids"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def stubborn(bench: Bench, where: Path, **more: object) -> tuple[str, dict[str, int]]:
    """The handle of such a step that has begun, and the ids of its processes."""
    handle = submit(bench.backend, work(STUBBORN, run=f"python step.py {where}", **more))  # type: ignore[arg-type]
    bench.until_said(handle, "begun")
    pids = {path.name: int(path.read_text()) for path in where.iterdir()}
    assert all(alive(pid) for pid in pids.values())
    return handle, pids


def run_folder(bench: Bench, handle: str) -> RunFolder:
    return bench.backend._run(handle)  # type: ignore[attr-defined, no-any-return]


def mentioning(where: Path) -> list[int]:
    """Processes that still know this folder."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            if os.fsencode(where) in Path(f"/proc/{pid}/cmdline").read_bytes() and alive(pid) and pid != os.getpid():
                found.append(pid)
        except OSError:
            continue
    return found


# whole trees -----------------------------------------------------------------------------------------------------------


def test_cancelling_ends_the_whole_tree(bench: Bench, where: Path) -> None:
    handle, pids = stubborn(bench, where)
    bench.backend.cancel(handle)
    assert bench.ended(handle).seen is Seen.CANCELLED
    assert [name for name, pid in pids.items() if alive(pid)] == []
    assert mentioning(where) == []


def test_so_does_its_time_limit(bench: Bench, where: Path) -> None:
    handle, pids = stubborn(bench, where, timeout=2.5)
    seen = bench.ended(handle)
    assert (seen.seen, "timed out" in seen.error) == (Seen.FAILED, True)
    assert [name for name, pid in pids.items() if alive(pid)] == []


def test_a_step_that_can_clean_up_is_asked_to_first(bench: Bench) -> None:
    script = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (print("cleaning up", flush=True), sys.exit(0)))
        print("begun", flush=True)
        time.sleep(600)
    """
    handle = submit(bench.backend, work(script))
    bench.until_said(handle, "begun")
    bench.backend.cancel(handle)
    assert bench.ended(handle).seen is Seen.CANCELLED
    assert "cleaning up" in [line.text for line in bench.backend.logs(handle, 0, 100)]


def test_a_storm_of_signals_ends_a_step_like_one(bench: Bench) -> None:
    handle = submit(bench.backend, work("import time; print('begun', flush=True); time.sleep(600)"))
    bench.until_said(handle, "begun")
    started = read_json(run_folder(bench, handle).started)
    with contextlib.suppress(ProcessLookupError):
        for _ in range(2_000):
            os.kill(started["pid"], signal.SIGTERM)
    assert bench.ended(handle).seen is Seen.CANCELLED


def test_what_a_step_leaves_running_ends_with_it(bench: Bench, where: Path) -> None:
    script = f"""
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True, env={{}})
        open({str(where / "pid")!r}, "w").write(str(child.pid))
    """
    assert bench.run(script).seen is Seen.SUCCEEDED
    assert not alive(int((where / "pid").read_text()))


# a supervisor that was killed ------------------------------------------------------------------------------------------


def test_a_killed_supervisor_is_seen_as_lost_and_leaves_no_orphan(bench: Bench, where: Path) -> None:
    handle, pids = stubborn(bench, where)
    supervisor = read_json(run_folder(bench, handle).started)
    os.kill(supervisor["pid"], signal.SIGKILL)
    seen = bench.ended(handle)
    assert seen.seen is Seen.LOST
    assert "supervisor died" in seen.error
    until(lambda: not any(alive(pid) for pid in pids.values()), f"all of {pids} have ended")
    assert submit(bench.again(), work(STUBBORN, token=handle)) == handle
    assert bench.again().observe(handle).seen is Seen.LOST, "and its token starts nothing again"
    bench.backend.cancel(handle)
    assert mentioning(where) == []


def test_a_supervisor_that_is_gone_after_the_end_changes_nothing(bench: Bench) -> None:
    handle = submit(bench.backend, work(""))
    seen = bench.ended(handle)
    started = read_json(run_folder(bench, handle).started)
    until(lambda: not is_alive(started["pid"], started["ticks"]), "the supervisor ends")
    assert bench.backend.observe(handle) == seen


def test_a_step_whose_own_process_is_killed_has_failed(bench: Bench, where: Path) -> None:
    handle, pids = stubborn(bench, where)
    os.kill(pids["step"], signal.SIGKILL)
    seen = bench.ended(handle)
    assert (seen.seen, seen.exit_code) == (Seen.FAILED, -signal.SIGKILL)
    assert not any(alive(pid) for pid in pids.values())


def sleeper(**options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], **options)  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def strangers() -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Processes that are none of ours, or hardly."""
    made = {
        "other token": sleeper(env={MARK: "attempt-12"}),
        "in its arguments": subprocess.Popen(
            [sys.executable, "-c", f"import time; time.sleep(600) # {MARK}=attempt-1"]
        ),
        "own session": sleeper(start_new_session=True),
        "marked": sleeper(env={MARK: "attempt-1"}, start_new_session=True),
    }
    yield made
    for process in made.values():
        process.kill()
        process.wait()


def test_only_the_run_s_own_processes_are_ended(strangers: dict[str, subprocess.Popen[bytes]]) -> None:
    leader = strangers["own session"].pid
    ticks = start_ticks(leader)
    assert ticks is not None
    end_left("attempt-1", leader, ticks + 1)  # the id belongs to somebody else by now
    assert {name for name, process in strangers.items() if process.poll() is not None} == {"marked"}
    end_left("attempt-1", leader, ticks)
    assert {name for name, process in strangers.items() if process.poll() is not None} == {"marked", "own session"}
    end_left("attempt-1", None, None)
    assert {name for name, process in strangers.items() if process.poll() is not None} == {"marked", "own session"}


def test_a_process_in_the_middle_of_exec_is_not_overlooked() -> None:
    """For a moment after exec a process has no environment that could be read, though its Popen has returned."""
    for _ in range(30):
        marked = sleeper(env={MARK: "attempt-1"}, start_new_session=True)
        try:
            end_left("attempt-1", None, None)
            assert marked.poll() == -signal.SIGKILL
        finally:
            marked.kill()
            marked.wait()


def test_an_id_alone_is_not_alive() -> None:
    ticks = start_ticks(os.getpid())
    assert ticks is not None
    assert is_alive(os.getpid(), ticks)
    assert not is_alive(os.getpid(), ticks + 1)
    assert not is_alive(os.getpid(), None)
    assert start_ticks(2**22 + 1) is None


# a service that was killed ---------------------------------------------------------------------------------------------

SUBMIT = """
import sys, time
from pathlib import Path
from tests.backends import local, submit, work
trace, go = sys.argv[2], sys.argv[3]
script = f'''
import os, time
open({trace!r}, "a").write("ran\\\\n")
while not os.path.exists({go!r}): time.sleep(0.02)
'''
print(submit(local(Path(sys.argv[1])).backend, work(script, token="from-another-process")), flush=True)
time.sleep(600)
"""


def submitting(*arguments: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SUBMIT, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_services_that_submit_at_once_and_are_killed_share_one_run(tmp_path: Path) -> None:
    root, trace, go = (tmp_path / name for name in ("root", "trace", "go"))
    services = [submitting(root, trace, go) for _ in range(3)]
    handles = {service.stdout.readline().strip() for service in services if service.stdout}
    for service in services:
        service.kill()
        service.communicate()
    assert handles == {"from-another-process"}
    bench = local(root)
    bench.seen("from-another-process", lambda _: trace.exists())
    assert bench.backend.observe("from-another-process").seen is Seen.RUNNING, "it outlives those who started it"
    go.touch()
    assert bench.ended("from-another-process").seen is Seen.SUCCEEDED
    assert trace.read_text() == "ran\n"


def prepared(bench: Bench, script: str) -> RunFolder:
    """As a service leaves it that is killed after it made the folder, before it started the supervisor."""
    model = run_folder(bench, submit(bench.backend, work(script)))
    bench.ended(model.path.name)
    made = RunFolder(model.path.with_name(f"{model.path.name}-again"))
    made.work.mkdir(parents=True)
    (made.work / "step.py").write_text(script)
    write_json(made.spec, {**read_json(model.spec), "token": made.path.name})
    return made


def test_a_run_that_nobody_started_is_started_when_it_is_submitted_again(bench: Bench) -> None:
    folder = prepared(bench, "print('begun')")
    assert bench.backend.observe(folder.path.name).seen is Seen.RUNNING
    submit(bench.backend, work("print('another')", token=folder.path.name))
    assert bench.ended(folder.path.name).seen is Seen.SUCCEEDED
    assert "begun" in [line.text for line in bench.backend.logs(folder.path.name, 0, 100)]


@pytest.mark.parametrize("age", [3_600, -3_600])
def test_or_when_it_is_only_looked_at_after_a_while(bench: Bench, age: float) -> None:
    """A clock that was set back makes it young for ever: then its age says nothing."""
    folder = prepared(bench, f"print('begun {age}')")
    (folder.path / "lock").touch()
    then = time.time() - age
    os.utime(folder.path, (then, then))
    assert bench.ended(folder.path.name).seen is Seen.SUCCEEDED


def test_half_a_folder_is_no_run(bench: Bench) -> None:
    folder = prepared(bench, "print('begun')")
    half = folder.path.with_name(f".{folder.path.name}.0123")
    folder.path.rename(half)
    submit(bench.backend, work("print('whole')", token=folder.path.name))
    assert bench.ended(folder.path.name).seen is Seen.SUCCEEDED
    assert "whole" in [line.text for line in bench.backend.logs(folder.path.name, 0, 100)]
    shutil.rmtree(half)


def test_what_was_needed_only_to_run_is_removed(bench: Bench) -> None:
    handle = submit(bench.backend, work("from flags import *; write('o', 'x')", outputs=["o"]))
    bench.ended(handle)
    folder = run_folder(bench, handle)
    until(lambda: not folder.is_locked(), "the supervisor is gone")
    assert {path.name for path in folder.path.iterdir()} <= {
        "spec.json",
        "started.json",
        "session.json",
        "outcome.json",
        "log.jsonl",
        "lock",
        "supervisor.log",
    }
    assert (folder.path / "supervisor.log").read_text() == ""


def test_the_damage_of_a_stored_input_is_seen(bench: Bench) -> None:
    made = bench.run("from flags import *; write('o', 'as it was made')", outputs=["o"]).outputs[0]
    name = made.digest.removeprefix("sha256:")
    stored = Path(bench.backend._root) / "objects" / name[:2] / name[2:]  # type: ignore[attr-defined]
    stored.chmod(0o644)
    stored.write_text("as it was  not")
    seen = bench.run("", inputs={"i": UpstreamInput("one", "o")}, upstream={"i": made})
    assert seen.seen is Seen.FAILED
    assert "is damaged" in seen.error
