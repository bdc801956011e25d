"""Owns a pipeline of three steps to submit to a cloud: its files, its works, its end; refuses to know which cloud."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from service.domain.execution import Artifact, Observation, Seen
from service.domain.ingredients import Ingredients
from service.domain.pipeline import Component, Registration, RepositoryInput, UpstreamInput
from service.ports.backend import Backend, Work
from tests.backends import FLAGS, Bench, Files

COMMIT = "c0ffee" + "0" * 34
FILES = {
    "flags.py": FLAGS,
    "data.txt": "1,2,3",
    "preprocess.py": "from flags import *\nwrite('rows', read('raw').replace(',', ' '))\nwrite('half', '1')\n",
    "train.py": "from flags import *\nimport os\nos.mkdir(flags['model'])\n"
    "open(flags['model'] + '/w', 'w').write(read('rows') + flags['rate'])\n",
    "evaluate.py": "from flags import *\nimport json\nw = open(flags['model'] + '/w').read()\n"
    "json.dump({'regression_metrics': {'r2': {'value': len(w) / 10}}}, open(flags['metrics'], 'w'))\n",
}
_numbers, _stamps = count(1), count(1)


def component(step: str, **more: Any) -> Component:
    inputs: dict[str, dict[str, Any]] = {
        "preprocess": {"raw": RepositoryInput("data.txt")},
        "train": {"rows": UpstreamInput("preprocess", "rows")},
        "evaluate": {"model": UpstreamInput("train", "model"), "rows": UpstreamInput("preprocess", "rows")},
    }
    outputs = {"preprocess": ("rows", "half"), "train": ("model",), "evaluate": ()}
    metrics = "out/evaluation.json" if step == "evaluate" else None
    return Component(
        step, f"{step}.py", inputs=tuple(inputs[step].items()), outputs=outputs[step], metrics=metrics, **more
    )


def works(
    pipeline: str,
    *steps: str,
    made: dict[str, Artifact] | None = None,
    files: dict[str, str] | None = None,
    rate: str = "0.1",
    gates: Sequence[str] = ("r2 >= 0.5",),
    submission: str = "",
) -> list[Work]:
    """These steps, submitted together; ``made`` are outputs of steps that are not among them."""
    submission = submission or f"ex{next(_numbers)}.{steps[0]}.1"
    return [
        Work(
            token=f"{submission}.{step}",
            submission=submission,
            repository="acme/diamonds",
            pipeline=pipeline,
            commit=COMMIT,
            ingredients=Ingredients(component(step), (), (("rate", (rate,)),) if step == "train" else ()),
            inputs={key: made[source.output] for key, source in component(step).inputs
                    if made and isinstance(source, UpstreamInput) and source.component not in steps},
            environment=(),
            source=Files({**FILES, **(files or {})}),
            gates=tuple(gates),
            register=Registration("train", "model", "price"),
        )
        for step in steps
    ]  # fmt: skip


def ended(backend: Backend, handles: Sequence[str]) -> list[Observation]:
    deadline = time.monotonic() + 60
    while any((seen := backend.observe(handle)).seen is Seen.RUNNING for handle in handles):
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)
    return [backend.observe(handle) for handle in handles]


def outputs(seen: Sequence[Observation]) -> dict[str, Artifact]:
    return {artifact.name: artifact for one in seen for artifact in one.outputs}


def made_alone(bench: Bench, given: Sequence[Work]) -> dict[str, Artifact]:
    """What the same steps make on a backend that takes them one at a time: the local runner."""
    known: dict[str, Artifact] = {}
    for work in given:
        read = {key: known[source.output] for key, source in work.ingredients.component.inputs
                if isinstance(source, UpstreamInput)}  # fmt: skip
        (handle,) = bench.backend.submit([replace(work, inputs=read)])
        known |= {one.name: one for one in bench.ended(handle).outputs}
    return known


def dated(given: list[Work]) -> list[Work]:
    """What comes of a commit of its own: nothing that an earlier test left is reused by Azure ML."""
    stamp = f"{next(_stamps)} {os.getpid()}"
    return [replace(one, source=Files({**one.source.contents, "stamp.txt": stamp})) for one in given]  # type: ignore[attr-defined]
