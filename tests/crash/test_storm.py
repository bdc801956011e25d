"""SIGKILL of the whole service at random moments of a storm of pushes: nothing is lost, nothing runs twice, and the lineage
at the end is that of the same story without any kill."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import httpx
import pytest

from service.adapters.database.unit_of_work import Database
from tests.conftest import LONG
from tests.crash.stand import NAME, Clone, Stand, kill, until
from tests.crash.story import Teller, Truth, Wave, broken_rules, story, truth
from tests.crash.sums import FILES, noted

SEED = int(os.environ.get("REFIT_TEST_SEED", "0")) or random.randrange(1, 2**31)
KILLS = int(os.environ.get("REFIT_TEST_KILLS", "0")) or (50 if LONG else 8)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """The story told to a service that nobody hurts."""
    folder = tmp_path_factory.mktemp("undisturbed")
    url = f"sqlite:///{folder / 'refit.db'}"
    with Stand(folder / "stand", url) as stand:
        stand.serve()
        return tell(stand, 0)


@pytest.mark.timeout(1_800)
def test_a_storm_of_kills_changes_nothing(undisturbed: Truth, database_url: str, tmp_path: Path) -> None:
    print(f"seed {SEED}, {KILLS} kills: REFIT_TEST_SEED={SEED} REFIT_TEST_KILLS={KILLS} tells this story again")
    with Stand(tmp_path / "stand", database_url) as stand:
        stand.serve()
        found = tell(stand, KILLS)
    for name in ("results", "standing", "heads", "models"):
        mine, theirs = getattr(found, name), getattr(undisturbed, name)
        differs = [*(f"{name} + {one}" for one in mine - theirs), *(f"{name} - {one}" for one in theirs - mine)]
        assert not differs, "\n".join(differs)


def tell(stand: Stand, kills: int) -> Truth:
    """The whole story, with so many kills spread over its waves."""
    teller = Teller(Clone(stand.folder / "clone", stand.git_server.url(NAME), FILES))
    waves = story(SEED)
    moments = random.Random(SEED + 1)
    for number, wave in enumerate(waves, 1):
        share = kills * number // len(waves) - kills * (number - 1) // len(waves)
        play(stand, teller, wave, moments, share)
        until(lambda: is_quiet(stand, teller), "all is quiet", stand.log, 300.0)
    store = Database(stand.database_url)
    try:
        assert broken_rules(store, noted(stand.folder, "start"), noted(stand.folder, "end")) == []
        assert stand.steps() == []
        return truth(store, teller)
    finally:
        store.close()


def play(stand: Stand, teller: Teller, wave: Wave, moments: random.Random, kills: int) -> None:
    """One wave told on a thread of its own, beside the kills."""
    problems: list[BaseException] = []
    pauses = random.Random(moments.random())

    def tell_it() -> None:
        try:
            teller.tell(wave, lambda: time.sleep(pauses.uniform(0.0, 0.3)))
        except BaseException as problem:
            problems.append(problem)

    teller_thread = threading.Thread(target=tell_it)
    teller_thread.start()
    for _ in range(kills):
        strike(stand, moments)
    teller_thread.join()
    if problems:
        raise problems[0]


def strike(stand: Stand, moments: random.Random) -> None:
    """Kill the service, mostly at work and sometimes while it starts, and start it again."""
    service = stand.processes[-1]
    listening = stand.home / "serve.json"
    began = time.monotonic()
    if moments.random() < 0.8:
        until(lambda: listening.exists() or service.poll() is not None, "it listens", stand.log)
    slowness = max(1.0, time.monotonic() - began)  # a moment lasts longer on a busy machine
    time.sleep(moments.uniform(0.0, slowness))
    assert service.poll() is None, stand.log()
    kill(service)
    listening.unlink(missing_ok=True)
    stand.start("serve")


def is_quiet(stand: Stand, teller: Teller) -> bool:
    """Every head has its execution, and nothing waits or runs any more."""
    try:
        deliveries = stand.get("/deliveries", limit="100")["items"]
        executions = stand.get("/executions", limit="100")["items"]
    except httpx.TransportError:  # it is starting
        return False
    planned = {one["commit"] for one in executions}
    return (
        planned >= set(teller.heads.values())
        and all(one["outcome"] for one in deliveries)
        and all(one["ended_at"] for one in executions)
    )
