"""What every backend says of a step that fails: which of its ways it went, in words a person can act upon."""

from __future__ import annotations

import pytest

from service.domain.execution import Artifact, Observation, Seen
from service.domain.pipeline import RepositoryInput, UpstreamInput
from tests.backends import Bench, said, submit, work


def failed(bench: Bench, script: str = "", **more: object) -> Observation:
    seen = bench.run(script, **more)
    assert seen.seen is Seen.FAILED, seen
    assert seen.ended_at is not None
    assert seen.outputs == ()
    return seen


def test_a_step_that_fails_shows_its_traceback(bench: Bench) -> None:
    script = "from flags import *\nwrite('model', 'half')\ndef deep():\n    1 / 0\ndeep()"
    handle = submit(bench.backend, work(script, outputs=["model"]))
    seen = bench.ended(handle)
    assert (seen.seen, seen.exit_code) == (Seen.FAILED, 1)
    assert seen.error.splitlines()[0] == "the step ended with exit code 1"
    assert "line 4, in deep" in seen.error
    assert seen.error.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "ZeroDivisionError: division by zero" in said(bench, handle, "stderr")


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("import sys; sys.exit(7)", 7, "exit code 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, "SIGKILL"),
        ("import os; os.abort()", -6, "SIGABRT"),
        ("def x(:", 1, "SyntaxError"),
        ("import no_such_package", 1, "No module named 'no_such_package'"),
        ("print('only words'); raise SystemExit('gave up')", 1, "gave up"),
    ],
)
def test_how_it_ended_is_said(bench: Bench, script: str, code: int, words: str) -> None:
    seen = failed(bench, script)
    assert seen.exit_code == code
    assert words in seen.error


def test_only_the_last_lines_are_in_the_error(bench: Bench) -> None:
    seen = failed(bench, "import sys\nfor n in range(5000): print('line', n, file=sys.stderr)\nsys.exit(1)")
    assert seen.error.endswith("line 4999")
    assert len(seen.error) < 10_000


def test_too_late_is_failed(bench: Bench) -> None:
    seen = failed(bench, "import time; print('begun', flush=True); time.sleep(600)", timeout=3)
    assert "timed out after 3 s" in seen.error


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "output model was not written"),
        ("from flags import *; import os; os.symlink('/etc/passwd', flags['model'])", "model is a symbolic link"),
        (
            "from flags import *; import os; os.mkdir(flags['model']); os.symlink('x', flags['model'] + '/l')",
            "model/l is a symbolic link",
        ),
        ("from flags import *; import os; os.mkfifo(flags['model'])", "model is neither a file nor a folder"),
        (
            "from flags import *; import os; os.mkdir(flags['model']); os.mkfifo(flags['model'] + '/f')",
            "neither a file nor a folder",
        ),
    ],
)
def test_an_output_is_a_file_or_a_folder(bench: Bench, script: str, words: str) -> None:
    assert words in failed(bench, script, outputs=["model"]).error


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("", "output metrics was not written"),
        ("write('metrics', '{')", "not JSON"),
        ("write('metrics', '[1]')", "not a JSON object"),
        ("write('metrics', '[' * 100_000)", "not JSON"),
        ("import os; os.mkfifo(flags['metrics'])", "neither a file nor a folder"),
        ("import os; os.symlink('/proc/self/environ', flags['metrics'])", "symbolic link"),
    ],
)
def test_metrics_are_a_json_object(bench: Bench, script: str, words: str) -> None:
    assert words in failed(bench, f"from flags import *; {script}", metrics="m.json").error


@pytest.mark.parametrize("where", ["raw", "folder", "made"])
def test_an_input_that_was_modified_spoils_the_result(bench: Bench, where: str) -> None:
    made = bench.run("from flags import *; write('table', '1')", outputs=["table"]).outputs[0]
    paths = {"raw": "flags['raw']", "folder": "flags['folder'] + '/x'", "made": "flags['made']"}
    seen = failed(
        bench,
        f"import os; from flags import *; p = {paths[where]}; os.chmod(p, 0o644); open(p, 'a').write('more'); write('o', '')",
        files={"raw.csv": "1", "data/x": "1"},
        inputs={
            "raw": RepositoryInput("raw.csv"),
            "folder": RepositoryInput("data"),
            "made": UpstreamInput("one", "table"),
        },
        upstream={"made": made},
        outputs=["o"],
    )
    assert f"input {where} was modified" in seen.error
    assert (
        bench.run(
            "from flags import *; write('o', read('made'))",
            inputs={"made": UpstreamInput("one", "table")},
            upstream={"made": made},
            outputs=["o"],
        )
        .outputs[0]
        .digest
        == made.digest
    ), "what is stored is as it was"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"inputs": {"raw": RepositoryInput("absent.csv")}}, "input raw: absent.csv is not in the repository"),
        ({"inputs": {"raw": RepositoryInput("../../../etc/passwd")}}, "input raw"),
        (
            {"inputs": {"raw": UpstreamInput("one", "x")}, "upstream": {"raw": Artifact("x", "sha256:" + "0" * 64, 1)}},
            "no longer stored",
        ),
        ({"run": "absent.py"}, "absent.py"),
        ({"run": "no-such-program --x"}, "no-such-program: No such file or directory"),
        ({"run": "python step.py ${{outputs.model}}"}, "${{outputs.model}} names nothing that the component declares"),
        ({"run": "python step.py && python step.py"}, "no shell"),
        ({"run": "book.ipynb", "files": {"book.ipynb": "{}"}}, "not a notebook"),
        (
            {
                "run": "book.ipynb",
                "files": {"book.ipynb": '{"cells":[{"cell_type":"code","source":"%pip install x"}]}'},
            },
            "magics",
        ),
        ({"environment": ["absent.txt"]}, "absent.txt is not in the repository"),
        (
            {"environment": ["r.txt"], "files": {"r.txt": "no-such-package @ file:///nonexistent/x.whl\n"}},
            "could not install r.txt",
        ),
        ({"environment": ["conda.yml"], "files": {"conda.yml": ""}}, "cannot use conda.yml"),
    ],
)
def test_what_cannot_be_run_says_why(bench: Bench, more: dict[str, object], words: str) -> None:
    assert words in failed(bench, "", **more).error
