"""The wall clock is set by hours while steps run and leases are held: nothing runs twice, nothing waits for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import absent
from tests.crash.stand import NAME, Clone, Stand, kill, until
from tests.crash.sums import FILES, noted, params

# libfaketime's monotonic sleeps fail under Python 3.11, so this is a clock of our own: wall time alone, off by what a file says.
_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long off(void) {
    char text[32] = {0};
    const char *name = getenv("CLOCK_FILE");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return 0;
    if (read(file, text, sizeof text - 1) < 0) text[0] = 0;
    close(file);
    return atol(text);
}

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (id == CLOCK_REALTIME) at->tv_sec += off();
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""
HOUR = 3_600


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        absent("cc", "apt-get install gcc libc6-dev")
    made = tmp_path_factory.mktemp("clock") / "clock.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", str(made), "-x", "c", "-", "-ldl"], input=_SOURCE.encode(), check=True
    )
    return made


class Clock:
    """A wall clock that can be set, for the processes that are started with it."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self.variables = {"LD_PRELOAD": str(library), "CLOCK_FILE": str(file)}
        self.set(0)

    def set(self, seconds: int) -> None:
        waiting = self._file.with_suffix(".new")
        waiting.write_text(str(seconds))
        waiting.replace(self._file)


@pytest.fixture
def clock(library: Path, tmp_path: Path) -> Clock:
    return Clock(library, tmp_path / "clock")


def test_the_clock_is_off(clock: Clock) -> None:
    clock.set(5 * HOUR)
    ask = (
        "import time, sqlite3; now = sqlite3.connect(':memory:').execute(\"select strftime('%s', 'now')\").fetchone()[0]; "
        "print(time.time(), now)"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask], env={**os.environ, **clock.variables}, capture_output=True, check=True
    )
    assert [round((float(one) - time.time()) / HOUR) for one in done.stdout.split()] == [5, 5]


@pytest.mark.parametrize("hours", [3, -3])
def test_a_jump_while_a_step_runs(clock: Clock, tmp_path: Path, hours: int) -> None:
    with Stand(tmp_path / "stand", f"sqlite:///{tmp_path / 'refit.db'}") as stand:
        stand.serve(**clock.variables)
        clone = Clone(stand.folder / "clone", stand.git_server.url(NAME), FILES)
        first = clone.commit("first", params(delay=3))
        clone.push()
        until(lambda: "train" in str(noted(stand.folder, "start")), "train runs", stand.log)
        clock.set(hours * HOUR)
        execution = stand.ended(first)
        assert execution["status"] == "succeeded"
        assert [len(step["attempts"]) for step in execution["steps"]] == [1, 1, 1]
        second = clone.commit("second", params(scale=5))
        clone.push()
        later = stand.ended(second, 180.0)
        assert later["status"] == "succeeded"
        assert later["id"] > execution["id"]
        assert set(noted(stand.folder, "start").values()) == {1}


def test_a_service_started_with_its_clock_set_back(clock: Clock, tmp_path: Path) -> None:
    with Stand(tmp_path / "stand", f"sqlite:///{tmp_path / 'refit.db'}") as stand:
        clock.set(5 * HOUR)
        ahead = stand.serve(**clock.variables)
        clone = Clone(stand.folder / "clone", stand.git_server.url(NAME), FILES)
        first = clone.commit("first", params(delay=3))
        clone.push()
        until(lambda: "train" in str(noted(stand.folder, "start")), "train runs", stand.log)
        kill(ahead)
        stand.serve()
        execution = stand.ended(first, 180.0)
        assert execution["status"] == "succeeded"
        second = clone.commit("second", params(scale=5))
        clone.push()
        later = stand.ended(second, 180.0)
        assert later["id"] > execution["id"], "the newest sorts last, whatever the clock said"
        assert [one["id"] for one in stand.get("/executions")["items"]] == [later["id"], execution["id"]]
        assert set(noted(stand.folder, "start").values()) == {1}
