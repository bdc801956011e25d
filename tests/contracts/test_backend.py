"""What every backend keeps: submit, observe, cancel, logs, holds. A new one is one more line in ``tests/backends.py``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.domain.errors import Refused, Retry
from service.domain.execution import Artifact, Seen
from service.domain.pipeline import RepositoryInput, UpstreamInput, UriInput
from tests.backends import Bench, said, submit, work


def sha256(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


# success ---------------------------------------------------------------------------------------------------------------


def test_a_step_that_succeeds_leaves_outputs_and_metrics(bench: Bench) -> None:
    script = """
        import json
        from flags import *
        write("model", "m" * 9)
        json.dump({"rmse": 1.5, "rows": 3}, open(flags["metrics"], "w"))
    """
    before = datetime.now(UTC)
    seen = bench.run(script, outputs=["model"], metrics="out/metrics.json")
    assert (seen.seen, seen.exit_code, seen.error) == (Seen.SUCCEEDED, 0, "")
    outputs = {one.name: one for one in seen.outputs}
    assert outputs["model"] == Artifact("model", sha256("m" * 9), 9)
    assert set(outputs) == {"model", "metrics"}
    assert dict(seen.metrics) == {"rmse": 1.5, "rows": 3.0}
    assert seen.job
    assert seen.environment
    assert seen.started_at is not None
    assert seen.ended_at is not None
    second = timedelta(seconds=1)
    assert before - second < seen.started_at <= seen.ended_at <= datetime.now(UTC) + second
    assert seen.ended_at.tzinfo is not None


def test_metrics_may_have_the_form_of_a_model_quality_report(bench: Bench) -> None:
    report = {"regression_metrics": {"rmse": {"value": 2, "standard_deviation": 0.1}, "r2": {"value": 0.98}}}
    seen = bench.run(f"from flags import *; write('metrics', {json.dumps(json.dumps(report))})", metrics="metrics.json")
    assert dict(seen.metrics) == {"rmse": 2.0, "r2": 0.98}


def test_what_one_step_made_another_reads(bench: Bench) -> None:
    made = bench.run(
        """
        import os
        from flags import *
        write("table", "1,2")
        os.makedirs(flags["folder"] + "/a/b")
        os.mkdir(flags["folder"] + "/empty")
        open(flags["folder"] + "/a/b/x", "w").write("deep")
        open(flags["folder"] + "/run.sh", "w").write("#!/bin/sh")
        os.chmod(flags["folder"] + "/run.sh", 0o755)
        """,
        outputs=["table", "folder"],
    )
    upstream = {one.name: one for one in made.outputs}
    seen = bench.run(
        """
        import os
        from pathlib import Path
        from flags import *
        folder = Path(flags["b"])
        found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        modes = os.access(folder / "run.sh", os.X_OK), os.stat(flags["a"]).st_mode & 0o222
        write("said", repr((read("a"), found, (folder / "a/b/x").read_text(), *modes)))
        """,
        inputs={"a": UpstreamInput("one", "table"), "b": UpstreamInput("one", "folder")},
        upstream={"a": upstream["table"], "b": upstream["folder"]},
        outputs=["said"],
    )
    expected = repr(("1,2", ["a", "a/b", "a/b/x", "empty", "run.sh"], "deep", True, 0))
    assert [one.digest for one in seen.outputs] == [sha256(expected)], seen.error
    read = {one.name: (one.digest, one.size) for one in seen.inputs}
    assert read == {"a": (upstream["table"].digest, 3), "b": (upstream["folder"].digest, upstream["folder"].size)}


def test_equal_outputs_have_equal_digests_and_others_have_not(bench: Bench) -> None:
    script = """
        import os
        from flags import *
        os.mkdir(flags["o"])
        path = flags["o"] + "/" + flags["name"]
        open(path, "w").write(flags["text"])
        os.utime(path, (1, int(flags["time"])))
    """
    rows = (("x", "1", "5"), ("x", "1", "6"), ("x", "2", "5"), ("y", "1", "5"))
    given = [[("name", [name]), ("text", [text]), ("time", [time])] for name, text, time in rows]
    made = [bench.run(script, flags=flags, outputs=["o"]).outputs[0].digest for flags in given]
    assert made[0] == made[1], "a time is no content"
    assert len(set(made)) == 3


def test_inputs_parameters_and_imports_as_declared(bench: Bench) -> None:
    seen = bench.run(
        """
        import sys, helper, inner
        from flags import *
        write("said", repr((read("raw"), flags["rate"], flags["far"], sys.argv[-3:], helper.X, inner.Y)))
        """,
        files={"data/raw.csv": "1,2", "helper.py": "X = 3", "src/inner.py": "Y = 4"},
        inputs={"raw": RepositoryInput("data/raw.csv"), "far": UriInput("s3://bucket/key")},
        flags=[("rate", ["0.10"]), ("layers", ["8", "-4"])],
        outputs=["said"],
    )
    expected = repr(("1,2", "0.10", "s3://bucket/key", ["--layers", "8", "-4"], 3, 4))
    assert [one.digest for one in seen.outputs] == [sha256(expected)], seen.error
    assert {one.name: one.digest for one in seen.inputs} == {"raw": sha256("1,2"), "far": "s3://bucket/key"}


@pytest.mark.parametrize(
    "run",
    [
        "python tool.py --in ${{inputs.raw}} --out=${{outputs.said}} --rate ${{params.rate}} ${{ params.train.rate }}",
        "python3 -m jobs.tool --in ${{ inputs.raw }} --out=${{ outputs.said }} --rate ${{params.rate}} ${{params.rate}}",
        "python3.11 tool.py --in ${{inputs.raw}} --out=${{outputs.said}} --rate '${{params.rate}}' 0.1",
        "tool.py --in ${{inputs.raw}} --out=${{outputs.said}} --rate 0.1 ${{params.rate}}",
        "notebook.ipynb --in ${{inputs.raw}} --out=${{outputs.said}} --rate 0.1 0.1",
        "bash -c 'python tool.py --in $0 --out=$1 --rate 0.1 0.1' ${{inputs.raw}} ${{outputs.said}}",
    ],
)
def test_every_form_of_command(bench: Bench, run: str) -> None:
    tool = (
        "import sys; words = sys.argv[1:]; assert words[3:] == ['--rate', '0.1', '0.1'], words\n"
        "assert sys.prefix != sys.base_prefix, 'in its own environment'\n"
        "open(words[2].removeprefix('--out='), 'w').write(open(words[1]).read())"
    )
    cells = [{"cell_type": "markdown", "source": ["# prose"]}, {"cell_type": "code", "source": tool.splitlines(True)}]
    files = {"tool.py": tool, "jobs/__init__.py": "", "jobs/tool.py": tool, "raw.csv": "1,2"}
    seen = bench.run(
        "",
        run=run,
        files={**files, "notebook.ipynb": json.dumps({"cells": cells})},
        inputs={"raw": RepositoryInput("raw.csv")},
        flags=[("rate", ["0.1"])],
        outputs=["said"],
    )
    assert [one.digest for one in seen.outputs] == [sha256("1,2")], seen.error


def test_a_bare_notebook_gets_flags_as_a_script_does(bench: Bench) -> None:
    cells = [{"source": "from flags import *\n"}, {"source": ["write('said', ", "flags['rate'])"]}]
    book = json.dumps({"cells": [{"cell_type": "code", **cell} for cell in cells]})
    seen = bench.run("", run="book.ipynb", files={"book.ipynb": book}, flags=[("rate", ["7"])], outputs=["said"])
    assert [one.digest for one in seen.outputs] == [sha256("7")], seen.error


def test_a_step_sees_its_commit_and_nothing_of_the_service(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFIT_WEBHOOK_SECRET", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    handle = submit(
        bench.backend,
        work(
            "import os, sys; print(sorted(os.listdir('.'))); print(sys.stdin.read() == ''); print('secret' in str(os.environ))"
        ),
    )
    assert bench.ended(handle).seen is Seen.SUCCEEDED
    assert said(bench, handle, "stdout") == ["['flags.py', 'step.py']", "True", "False"]


# cancel ----------------------------------------------------------------------------------------------------------------

SLEEP = "import time; print('begun', flush=True); time.sleep(600)"


def test_a_cancelled_step_ends_as_cancelled(bench: Bench) -> None:
    handle = submit(bench.backend, work(SLEEP))
    bench.until_said(handle, "begun")
    bench.backend.cancel(handle)
    bench.backend.cancel(handle)
    seen = bench.ended(handle)
    assert seen.seen is Seen.CANCELLED
    assert seen.ended_at is not None
    bench.backend.cancel(handle)
    assert bench.backend.observe(handle) == seen


def test_a_step_may_be_cancelled_before_it_begins(bench: Bench) -> None:
    handle = submit(bench.backend, work(SLEEP))
    bench.backend.cancel(handle)
    assert bench.ended(handle).seen is Seen.CANCELLED


def test_what_has_ended_cannot_be_cancelled(bench: Bench) -> None:
    handle = submit(bench.backend, work(""))
    seen = bench.ended(handle)
    bench.backend.cancel(handle)
    assert bench.backend.observe(handle) == seen
    assert seen.seen is Seen.SUCCEEDED


# one token, one run ----------------------------------------------------------------------------------------------------


def test_submitting_a_token_again_adopts_the_run(bench: Bench, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    script = f"open({str(trace)!r}, 'a').write('ran\\n'); import time; time.sleep(0.5)"
    first = work(script)
    handle = submit(bench.backend, first)
    assert submit(bench.backend, first) == handle
    assert submit(bench.again(), replace(first, source=work("raise SystemExit('another script')").source)) == handle
    seen = bench.ended(handle)
    assert seen.seen is Seen.SUCCEEDED
    assert submit(bench.again(), first) == handle, "also when it has ended"
    assert bench.again().observe(handle) == seen
    assert trace.read_text() == "ran\n"


def test_many_submit_a_token_at_once(bench: Bench, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    one = work(f"open({str(trace)!r}, 'a').write('ran\\n')", files={f"{n}.txt": "x" * 1000 for n in range(50)})
    with ThreadPoolExecutor(8) as threads:
        handles = set(threads.map(lambda _: submit(bench.again(), one), range(8)))
    assert len(handles) == 1
    assert bench.ended(handles.pop()).seen is Seen.SUCCEEDED
    assert trace.read_text() == "ran\n"


@pytest.mark.parametrize("error", [Retry("the remote is away"), Refused("no such commit"), OSError("disk full")])
def test_a_source_that_cannot_be_written_starts_nothing(bench: Bench, error: Exception) -> None:
    good = work("from flags import *; write('o', '1')", outputs=["o"])
    with pytest.raises(type(error)):
        submit(bench.backend, replace(good, source=Broken(error)))
    assert bench.ended(submit(bench.backend, good)).seen is Seen.SUCCEEDED, "and the token is still good"


class Broken:
    """A source that fails half way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def export(self, target: Path) -> None:
        (target / "half.py").write_text("")
        raise self._error


@pytest.mark.parametrize("token", ["", ".", "..", "../x", "a/b", ".hidden", "a\0b", "a b"])
def test_a_token_names_nothing_outside(bench: Bench, token: str) -> None:
    asks: list[Callable[[], object]] = [
        lambda: submit(bench.backend, replace(work(), token=token)),
        lambda: bench.backend.observe(token),
        lambda: bench.backend.cancel(token),
        lambda: bench.backend.logs(token, 0, 1),
    ]
    for ask in asks:
        with pytest.raises(Refused):
            ask()


def test_steps_run_beside_each_other(bench: Bench, tmp_path: Path) -> None:
    """Each waits for the other: one after the other, neither would end."""
    script = """
        import time
        from pathlib import Path
        from flags import *
        Path(flags["at"], flags["me"]).touch()
        while not Path(flags["at"], flags["other"]).exists():
            time.sleep(0.02)
    """
    at = ("at", [str(tmp_path)])
    pair = [work(script, flags=[at, ("me", [me]), ("other", [you])], timeout=100) for me, you in ("ab", "ba")]
    handles = [submit(bench.backend, one) for one in pair]
    assert [bench.ended(handle).seen for handle in handles] == [Seen.SUCCEEDED] * 2


# logs ------------------------------------------------------------------------------------------------------------------


def test_the_log_can_be_read_while_the_step_runs(bench: Bench, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"""
        import os, sys, time
        print("one", flush=True)
        print("two", file=sys.stderr, flush=True)
        while not os.path.exists({str(go)!r}):
            time.sleep(0.02)
        print("three")
    """
    handle = submit(bench.backend, work(script))
    bench.until_said(handle, "two")
    bench.until_said(handle, "one")
    early = bench.backend.logs(handle, 0, 100)
    assert bench.backend.observe(handle).seen is Seen.RUNNING
    go.touch()
    bench.ended(handle)
    lines = bench.backend.logs(handle, 0, 100)
    assert list(lines[: len(early)]) == list(early)
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    assert {line.stream for line in lines if line.text in ("one", "three")} == {"stdout"}
    assert [line.stream for line in lines if line.text == "two"] == ["stderr"]
    times = [line.at for line in lines]
    assert times == sorted(times)
    assert abs(times[-1] - datetime.now(UTC)) < timedelta(minutes=2)
    assert bench.again().logs(handle, 0, 100) == lines


def test_the_log_comes_in_pages(bench: Bench) -> None:
    handle = submit(bench.backend, work("for n in range(1000): print('line', n)"))
    bench.ended(handle)
    lines = bench.backend.logs(handle, 0, 5_000)
    assert [line.text for line in lines if line.stream == "stdout"] == [f"line {n}" for n in range(1000)]
    found, after = [], 0
    while page := bench.backend.logs(handle, after, 130):
        assert len(page) <= 130
        found += page
        after = page[-1].number
    assert found == list(lines)
    assert bench.backend.logs(handle, len(lines), 10) == []
    assert bench.backend.logs(handle, len(lines) - 1, 10) == [lines[-1]]
    assert bench.backend.logs(handle, 10**9, 10) == []
    assert bench.backend.logs(handle, 0, 0) == []
    assert bench.backend.logs("never-submitted", 0, 10) == []


def test_a_log_holds_what_is_no_text(bench: Bench) -> None:
    script = "import os; os.write(1, b'\\xff\\x00\\x1b[31m\\r\\n' + 'ü💎'.encode() + b'\\n' + b'x' * 100_000 + b'\\nno newline')"
    handle = submit(bench.backend, work(script))
    assert bench.ended(handle).seen is Seen.SUCCEEDED
    lines = said(bench, handle, "stdout")
    assert lines[:2] == ["\N{REPLACEMENT CHARACTER}\0\x1b[31m", "ü💎"]
    assert "".join(lines[2:-1]) == "x" * 100_000
    assert max(map(len, lines)) <= 16 * 1024
    assert lines[-1] == "no newline"


# what can still be read ------------------------------------------------------------------------------------------------


def test_what_is_held(bench: Bench) -> None:
    script = """
        import os
        from flags import *
        write("a", "held")
        os.mkdir(flags["b"])
        open(flags["b"] + "/x", "w").write("y")
    """
    seen = bench.run(script, outputs=["a", "b"])
    digests = [one.digest for one in seen.outputs]
    absent = ["sha256:" + "0" * 64, "", "sha256:", "sha256:ab", "../../etc/passwd", "s3://bucket/key"]
    assert bench.backend.holds([*digests, *absent]) == frozenset(digests)
    assert bench.again().holds(digests) == frozenset(digests)
    assert bench.backend.holds([]) == frozenset()
