"""Two executions that want one key at one moment, on a backend that takes steps together: what is left of a submission whose
first step must wait goes its own way, and that step comes later in a submission of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import State
from tests.backends import BENCHES, FLAGS
from tests.flow.workshop import Workshop, states
from tests.origins import Origin

MANIFEST = """\
version: 1
pipelines:
  sums:
    backend: cloud
    components:
      left: {run: left.py, outputs: [out]}
      right: {run: right.py, outputs: [out]}
"""
WAITING = (
    "from flags import *\nimport os, time\nwhile not os.path.exists({gate!r}): time.sleep(0.1)\nwrite('out', 'left')\n"
)


@pytest.mark.parametrize("cloud", ["azureml", "sagemaker"])
def test_what_was_to_go_with_a_step_that_must_wait_does_not_take_its_name(
    cloud: str, sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    files = {
        "refit.yaml": MANIFEST,
        "flags.py": FLAGS,
        "left.py": WAITING.format(gate=str(gate)),
        "right.py": "from flags import *\nwrite('out', 'right')\n",
    }
    with BENCHES[cloud](tmp_path / "bench") as bench:
        shop = Workshop(sqlite, pushed, hosts, reader, tmp_path, more={"cloud": bench.backend})
        head = shop.push(files)
        first = shop.begin(head)
        shop.drive()
        assert states(shop.look(first.id)) == {"left": "running", "right": "running"}

        changed = {**files, "right.py": files["right.py"].replace("'right'", "'other'")}
        second = shop.begin(shop.push(changed, "refs/heads/other", (head,)), "refs/heads/other", head, forced=("left",))
        while not shop.look(second.id).step("right").attempts:
            shop.drive()
        left, right = shop.look(second.id).steps
        assert (left.state, left.attempts) == (State.WAITING, ()), "a forced step that another is computing waits too"
        assert right.attempts[0].submission == right.attempts[0].token

        gate.touch()
        assert states(shop.finish(first.id)) == {"left": "succeeded", "right": "succeeded"}
        ended = shop.finish(second.id)
        assert states(ended) == {"left": "succeeded", "right": "succeeded"}
        assert [len(step.attempts) for step in ended.steps] == [1, 1]
        handles = {step.attempts[0].handle for one in (shop.look(first.id), ended) for step in one.steps}
        assert len(handles) == 4, "nothing was adopted that was submitted as something else"
