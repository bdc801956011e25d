"""Owns a whole site for the web tests: the real app on a real store with a past worth looking at; refuses fakes."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from service.adapters.backends import make_backend
from service.adapters.backends.local.logs import LogWriter
from service.adapters.clock import SystemClock
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.github.webhook import GitHubWebhooks
from service.adapters.reading import IsolatedReader
from service.bootstrap.parts import StoredFacts
from service.domain.delivery import Delivery, Push
from service.domain.execution import Artifact, Attempt, Execution, Seen, State, StepRun
from service.domain.ingredients import Ingredients
from service.domain.lineage import InputRecord, ModelVersion, Promotion, ResultRecord
from service.domain.pipeline import Component, Pipeline, RepositoryInput, UpstreamInput
from service.domain.plan import Decision, Result
from service.domain.step_key import Part, PartKind, Reason
from service.domain.tokens import new_token
from service.flow.assess import Assessor
from service.flow.receive import Inbox
from service.flow.schedule import Scheduler
from service.web.app import create_app
from service.web.services import Services

NOW = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
SECRET = b"It's a Secret to Everybody"
REPOSITORY = "acme/diamonds"
GOOD, README, BROKEN, LIVE = (hashlib.sha1(name.encode()).hexdigest() for name in ("good", "readme", "broken", "live"))
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"
FIRST, SECOND, THIRD, FOURTH = "0000000001a", "0000000002b", "0000000003c", "0000000004d"

PREPROCESS = Component("preprocess", "prep.py", inputs=(("raw", RepositoryInput("d.csv")),), outputs=("data",))
TRAIN = Component("train", "train.py", inputs=(("data", UpstreamInput("preprocess", "data")),), outputs=("model",))
EVALUATE = Component(
    "evaluate", "evaluate.py", inputs=(("model", UpstreamInput("train", "model")),), metrics="metrics.json"
)
PIPELINE = Pipeline("diamonds", "local", (PREPROCESS, TRAIN, EVALUATE))


@dataclass(frozen=True)
class Site:
    """The app with its parts; ``tokens`` maps scope → secret."""

    http: TestClient
    store: Database
    tokens: Mapping[str, str]
    local: Path
    git: Path

    def bearer(self, scope: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[scope]}"}

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(f"/api/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def opened(folder: Path, url: str = "", *, open_reading: bool = True, seeded: bool = True) -> Iterator[Site]:
    """A site in this folder, closed afterwards."""
    git = _repository(folder / "origin")
    store = Database(url or f"sqlite:///{folder / 'refit.db'}")
    store.migrate()
    hosts = MirrorHost(folder / "mirrors", {REPOSITORY: f"file://{git}"}, protocols=("file",))
    backends = {"local": make_backend("local", folder / "local", uv="uv")}
    with IsolatedReader() as reader:
        scheduler = Scheduler(store, hosts, Assessor(reader, StoredFacts(store), ("local",)), backends, SystemClock())
        services = Services(
            store=store,
            inbox=Inbox(store),
            read_webhook=GitHubWebhooks((SECRET,)),
            scheduler=scheduler,
            repositories=(REPOSITORY,),
            ready=lambda: {"database": ""},
            open_reading=open_reading,
            version="test",
        )
        tokens = _seed_tokens(store)
        if seeded:
            seed(store, folder / "local")
        with TestClient(create_app(services)) as http:
            yield Site(http, store, tokens, folder / "local", git)
    hosts.close()
    store.close()


def _seed_tokens(store: Database) -> dict[str, str]:
    secrets: dict[str, str] = {}
    with store.begin() as work:
        for scope in ("read", "run", "admin"):
            secrets[scope], token = new_token(f"{scope}er", [scope], NOW)
            work.tokens.add(token)
        secrets["expired"], token = new_token("old", ["admin"], NOW, NOW + timedelta(days=-1))
        work.tokens.add(token)
        secrets["revoked"], token = new_token("gone", ["admin"], NOW)
        work.tokens.add(token)
        work.tokens.revoke(token.id)
        secrets["odd"], token = new_token("odd", ["everything"], NOW)
        work.tokens.add(token)
    return secrets


# a past --------------------------------------------------------------------------------------------------------------


def seed(store: Database, local: Path) -> None:
    """Four commits: all ran; only a README changed; training broke on a hostile branch; one still waits for a yes."""
    made = {name: _result(FIRST, GOOD, name) for name in ("preprocess", "train", "evaluate")}
    with store.begin() as work:
        _add(work, _execution(FIRST, GOOD, [_ran(made[name], NOW) for name in made], message="First commit"))
        for name, result in made.items():
            work.lineage.add(_record(result, name, made))
        work.models.register(
            ModelVersion("price", 0, REPOSITORY, made["train"].id, "model", made["train"].outputs["model"], FIRST, GOOD,
                         "candidate", NOW, {"rmse": 534.2}),
            "ada", "its gates passed",
        )  # fmt: skip
        kept = [_kept(result) for result in made.values()]
        _add(work, _execution(SECOND, README, kept, base=GOOD, message="README", created_at=NOW + timedelta(hours=1)))
        for name, result in made.items():
            at = NOW + timedelta(hours=1)
            work.lineage.promote(
                Promotion(SECOND, REPOSITORY, "diamonds", name, README, "refs/heads/main", result.id, at)
            )
        broken = [_kept(made["preprocess"]), _failed(THIRD), replace(_step("evaluate"), state=State.BLOCKED)]
        _add(work, _execution(THIRD, BROKEN, broken, base=README, ref=f"refs/heads/{HOSTILE}", message=HOSTILE,
                              author=HOSTILE, removed=("old-step",), created_at=NOW + timedelta(hours=2)))  # fmt: skip
        work.lineage.promote(
            Promotion(THIRD, REPOSITORY, "diamonds", "preprocess", BROKEN, f"refs/heads/{HOSTILE}", made["preprocess"].id,
                      NOW + timedelta(hours=2))
        )  # fmt: skip
        live = [_step("preprocess"), _step("train"), _step("evaluate")]
        waiting = _execution(FOURTH, LIVE, live, pull_request=7, ref="refs/pull/7/head", needs_approval="from a fork",
                             created_at=NOW + timedelta(hours=3))  # fmt: skip
        work.executions.add(waiting)
        push = Push(REPOSITORY, "refs/heads/main", GOOD, README, False, "ada", HOSTILE)
        work.deliveries.add([Delivery("72d3162e-cc78-11e3-81ab-4c9367dc0958", "push", "", push, NOW)])
    write_log(local, f"{THIRD}.train.1", ["loading", f"\x1b[31mTraceback {HOSTILE}", "\tindented", "ValueError: no"])
    write_log(local, f"{FIRST}.preprocess.1", ["53940 rows"])


def write_log(local: Path, token: str, lines: list[str]) -> None:
    folder = local / "runs" / token
    folder.mkdir(parents=True)
    writer = LogWriter(folder / "log.jsonl")
    for line in lines:
        writer.write("stderr", line)
    writer.close()


def _add(work: Any, execution: Execution) -> None:
    """Stored as it was when it began, then as it ended."""
    work.executions.add(execution)
    work.executions.save(replace(execution, ended_at=execution.created_at + timedelta(seconds=9)))


def _execution(id: str, commit: str, steps: list[StepRun], **changes: Any) -> Execution:
    made = Execution(id, REPOSITORY, PIPELINE, "refs/heads/main", commit, commit, None, "ada", "A message", f"guid-{id}",
                     NOW, tuple(steps))  # fmt: skip
    return replace(made, **changes)


def _component(name: str) -> Component:
    return PIPELINE.component(name)


def _parts(name: str) -> tuple[Part, ...]:
    return (
        Part(PartKind.PARAMETER, f"{name}.rate", "0.05"),
        Part(PartKind.SOURCE, _component(name).run, digest(f"{name} source")),
    )


def _step(name: str, **changes: Any) -> StepRun:
    ingredients = Ingredients(_component(name), _parts(name), (("rate", ("0.05",)),), (f"a note {HOSTILE}",))
    reasons = (
        Reason("parameter", f"{name}.rate", f"parameter {name}.rate: 0.1 → 0.05", "0.1", "0.05"),
        Reason("source", _component(name).run, f"source {HOSTILE} changed", digest("old"), digest(f"{name} source")),
    )
    made = StepRun(ingredients, Decision.RUN, Decision.RUN, reasons, digest(f"static {name}"), digest(f"key {name}"))
    return replace(made, **changes)


def _ran(result: Result, at: datetime) -> StepRun:
    attempt = Attempt(1, result.id, result.id, Seen.SUCCEEDED, "", 0, at, at + timedelta(seconds=result.seconds))
    return _step(result.component, state=State.SUCCEEDED, attempts=(attempt,), result=result)


def _kept(result: Result) -> StepRun:
    why = Reason("unchanged", result.component, f"nothing that can change its result did; reuses {result.execution}")
    return _step(result.component, planned=Decision.REUSE, decision=Decision.REUSE, reasons=(why,), state=State.REUSED,
                 result=result)  # fmt: skip


def _failed(execution: str) -> StepRun:
    token, at = f"{execution}.train.1", NOW + timedelta(hours=2)
    error = f"the step ended with exit code 1\n{HOSTILE}\nValueError: no"
    attempt = Attempt(1, token, token, Seen.FAILED, error, 1, at, at + timedelta(seconds=2))
    return _step("train", state=State.FAILED, attempts=(attempt,))


def _result(execution: str, commit: str, name: str) -> Result:
    outputs = {output: f"sha256:{digest(name + output)}" for output in _component(name).products}
    return Result(f"{execution}.{name}.1", name, digest(f"key {name}"), digest(f"static {name}"), _parts(name), outputs,
                  execution, commit, 4.0)  # fmt: skip


def _record(result: Result, name: str, made: Mapping[str, Result]) -> ResultRecord:
    inputs = []
    for input_name, source in _component(name).inputs:
        if isinstance(source, UpstreamInput):
            origin = made[source.component]
            text = f"result:{origin.id}#{source.output}"
            inputs.append(InputRecord(input_name, text, origin.outputs[source.output], 10))
        else:
            inputs.append(InputRecord(input_name, "git:d.csv", f"sha256:{digest('d.csv')}", 10))
    return ResultRecord(
        id=result.id, repository=REPOSITORY, pipeline="diamonds", component=name, execution=result.execution,
        commit=result.commit, tree=result.commit, ref="refs/heads/main", pull_request=None, author="ada", key=result.key,
        static_key=result.static_key, parts=result.parts, parameters={"rate": "0.05"}, environment="env", backend="local",
        job=result.id, attempt=1, started_at=NOW, ended_at=NOW + timedelta(seconds=result.seconds), inputs=tuple(inputs),
        outputs=tuple(Artifact(output, digest_, 10) for output, digest_ in result.outputs.items()),
        metrics={"rmse": 534.2, "r2": 0.98} if name == "evaluate" else {},
    )  # fmt: skip


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# a repository ----------------------------------------------------------------------------------------------------------

MANIFEST = """\
version: 1
triggers: {push: [main]}
pipelines:
  diamonds:
    backend: local
    components:
      train: {run: train.py, outputs: [model]}
      evaluate: {run: evaluate.py, inputs: {model: train.model}, metrics: metrics.json}
"""


def _repository(folder: Path) -> Path:
    """Two commits on main: all of it, then a change to the first component."""
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, {"refit.yaml": MANIFEST, "train.py": "print(1)\n", "evaluate.py": "print(2)\n"})
    commit(folder, {"train.py": "print(3)\n"})
    return folder


def commit(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "add", ".")
    git(folder, "-c", "user.name=ada", "-c", "user.email=ada@example.org", "commit", "-q", "-m", "a commit")


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()
