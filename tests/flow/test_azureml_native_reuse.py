"""Azure ML's own reuse of a native step: recognised and recorded with its reason where it stands for a run, and never taken where
nothing can: the outputs are gone, a person asked, what is read has no version."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.backends.azureml.azure import Azure
from service.adapters.backends.azureml.datastores import Datastores
from service.adapters.backends.azureml.names import datastore_uri
from service.adapters.database.unit_of_work import Database
from service.adapters.git.host import MirrorHost
from service.adapters.reading import IsolatedReader
from service.domain.execution import Execution, Status
from service.domain.lineage import ResultRecord
from tests import azureml
from tests.emulators.azureml.process import AzureML
from tests.flow.workshop import Workshop, states
from tests.native_azureml import FILES, STEPS, edited, errors, printed, workshop
from tests.origins import Origin

RAN = dict.fromkeys(STEPS, "succeeded")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[AzureML]:
    """An emulator of the test's own: all that it could reuse is the test's."""
    with azureml.reachable(tmp_path / "azureml") as made:
        yield made


@pytest.fixture
def shop(
    cloud: AzureML, sqlite: Database, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> Workshop:
    return workshop(cloud, sqlite, pushed, hosts, reader, tmp_path, "refit")


@pytest.fixture
def forgetful(
    cloud: AzureML, pushed: Origin, hosts: MirrorHost, reader: IsolatedReader, tmp_path: Path
) -> Iterator[Workshop]:
    """A server that lost its database: it runs what it knows nothing of, and Azure ML knows an equal job."""
    store = Database(f"sqlite:///{tmp_path / 'other.db'}")
    store.migrate()
    yield workshop(cloud, store, pushed, hosts, reader, tmp_path / "other", "refit")
    store.close()


def record(shop: Workshop, execution: Execution, step: str) -> ResultRecord:
    result = execution.step(step).result
    assert result is not None, errors(execution)
    with shop.store.begin() as work:
        found = work.lineage.get(result.id)
    assert found is not None
    return found


def kinds(execution: Execution, step: str) -> list[str]:
    return [reason.kind for reason in execution.step(step).reasons]


def reused(cloud: AzureML, execution: Execution) -> dict[str, str]:
    """Node → the run that Azure ML took for it, of an execution's jobs, as the workspace tells it."""
    handles = {attempt.handle for step in execution.steps for attempt in step.attempts if attempt.handle}
    rows = [row for job in {one.partition("#")[0] for one in handles}
            for row in Azure(azureml.declared(cloud)).pages(f"/runs/{job}/children")]  # fmt: skip
    return {row["displayName"]: row["properties"]["azureml.reusedrunid"] for row in rows
            if row["properties"].get("azureml.isreused") == "true"}  # fmt: skip


def test_what_azure_reuses_is_among_the_reasons_and_has_the_outputs_and_the_log_of_what_ran(
    shop: Workshop, forgetful: Workshop, cloud: AzureML
) -> None:
    first = shop.carry_out(shop.push(FILES))
    assert reused(cloud, first) == {}
    again = forgetful.carry_out(first.commit)
    assert (states(again), len(reused(cloud, again))) == (RAN, len(STEPS)), "the emulator really reused them"
    for step in STEPS:
        was, now = record(shop, first, step), record(forgetful, again, step)
        assert (now.job, now.outputs, now.key) == (was.job, was.outputs, was.key)
        assert now.job in reused(cloud, again).values()
        assert again.step(step).reasons[-1].kind == "vendor"
        assert again.step(step).reasons[-1].detail == f"the backend ran nothing: its job {was.job} was equal"
        assert "vendor" not in kinds(first, step)
    lines = printed(forgetful, again, "check")
    assert lines[0].startswith(f"Azure ML ran nothing: it reused {record(shop, first, 'check').job}")
    assert lines[1:] == ["total 82"]

    checked = forgetful.carry_out(forgetful.push(edited("ml/src/check.py", "'total'", "'all of it'")))
    assert (states(checked)["both-join"], states(checked)["check"]) == ("reused", "succeeded")
    assert "all of it 82" in printed(forgetful, checked, "check"), "what was reused can be read"


def test_a_reuse_whose_outputs_are_gone_is_lost_and_runs(shop: Workshop, forgetful: Workshop, cloud: AzureML) -> None:
    first = shop.carry_out(shop.push(FILES))
    azureml.remove(cloud, f"{record(shop, first, 'right').outputs[0].uri.partition('/paths/')[2]}/n")
    again = forgetful.carry_out(first.commit)
    assert (again.status, states(again)) == (Status.SUCCEEDED, RAN)
    lost, ran = again.step("right").attempts
    assert (
        f"Azure ML reused {record(shop, first, 'right').job}, but its output made is not there any more as that job made it"
        in lost.error
    )
    assert ran.error == ""
    assert "vendor" not in kinds(again, "right")
    assert record(forgetful, again, "right").outputs[0].uri != record(shop, first, "right").outputs[0].uri
    joined = forgetful.carry_out(forgetful.push(edited("ml/src/join.py", "total = ", "print(1)\ntotal = ")))
    assert states(joined) == {"left": "reused", "right": "reused", "both-join": "succeeded", "check": "succeeded"}
    assert "total 82" in printed(forgetful, joined, "check")


def test_a_place_that_others_wrote_to_meanwhile_is_no_result(
    shop: Workshop, forgetful: Workshop, cloud: AzureML
) -> None:
    """The definition names it, so that each run overwrites the one before."""
    place = datastore_uri(cloud.default_datastore, "shared/total")
    files = edited("ml/pipeline.yml", "total: {type: uri_folder}", f"total: {{type: uri_folder, path: '{place}'}}")
    first = shop.carry_out(shop.push(files))
    shop.carry_out(shop.push(edited("ml/pipeline.yml", "more: 2", "more: 3", files)))
    places = Datastores(Azure(azureml.declared(cloud)))
    assert places.read(f"{place}/n", 10) == b"83"
    again = forgetful.carry_out(first.commit)
    assert (states(again), [len(again.step(step).attempts) for step in STEPS]) == (RAN, [1, 1, 2, 2]), errors(again)
    assert places.read(f"{place}/n", 10) == b"82"


def test_what_an_operators_rules_removed_truly_runs(shop: Workshop, cloud: AzureML) -> None:
    """Nothing changed but a README: Azure ML would reuse the very job whose output is gone."""
    first = shop.carry_out(shop.push(FILES))
    azureml.remove(cloud, f"{record(shop, first, 'right').outputs[0].uri.partition('/paths/')[2]}/n")
    again = shop.carry_out(shop.push({**FILES, "README.md": "more\n"}))
    assert kinds(again, "right") == ["lost"]
    assert (states(again)["right"], len(again.step("right").attempts), reused(cloud, again)) == ("succeeded", 1, {})


def test_a_step_that_makes_nothing_may_be_reused(shop: Workshop, forgetful: Workshop) -> None:
    """Its output was not there before either: it is not gone."""
    files = edited(
        "ml/pipeline.yml", "    command: python check.py", "    outputs: {nothing: }\n    command: python check.py"
    )
    first = shop.carry_out(shop.push(files))
    assert (states(first), record(shop, first, "check").outputs[0].uri) == (RAN, "")
    again = forgetful.carry_out(first.commit)
    assert [len(again.step(step).attempts) for step in STEPS] == [1] * len(STEPS)
    assert kinds(again, "check")[-1] == "vendor"


def test_a_forced_step_truly_runs(shop: Workshop, cloud: AzureML) -> None:
    first = shop.carry_out(shop.push(FILES))
    again = shop.carry_out(first.commit, forced=("right",))
    assert states(again)["right"] == "succeeded"
    assert reused(cloud, again) == {}
    assert record(shop, again, "right").job != record(shop, first, "right").job


def test_what_has_no_version_truly_runs(shop: Workshop, cloud: AzureML) -> None:
    """Azure ML compares a place by its name: what lies there now it would not have looked at."""
    places = Datastores(Azure(azureml.declared(cloud)))
    place = datastore_uri(cloud.default_datastore, "inbox/n.txt")
    files = edited("ml/pipeline.yml", "path: ./data/n.txt", f"path: '{place}'")
    totals = []
    for number, more in ((b"40", ""), (b"50", "again\n")):
        places._blob(place).upload_blob(number, overwrite=True)
        done = shop.carry_out(shop.push({**files, "README.md": more}))
        assert (states(done), reused(cloud, done)) == (RAN, {})
        assert kinds(done, "left") == ["uncertain"]
        totals += printed(shop, done, "check")
    assert totals == ["total 82", "total 102"]
