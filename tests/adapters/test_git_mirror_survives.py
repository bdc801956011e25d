"""What a mirror survives: servers in trouble, killed processes, damaged files; and what it must not do meanwhile."""

from __future__ import annotations

import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.adapters.git.host import MirrorHost
from service.adapters.git.mirror import Mirror
from service.cli.demo.git_server import GitServer
from service.domain.errors import Refused, Retry
from tests.origins import Gate, Origin, mirrored

ROOT = Path(__file__).resolve().parents[2]


# failures --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_in_trouble_is_tried_again(mirror: Mirror, gate: Gate, status: int) -> None:
    gate.error = status
    with pytest.raises(Retry, match="fetching acme/diamonds: .*error: " + str(status)):
        mirror.fetch()


@pytest.mark.parametrize("status", [403, 404])
def test_a_server_that_says_no_is_believed(mirror: Mirror, gate: Gate, status: int) -> None:
    gate.error = status
    with pytest.raises(Refused, match="fetching acme/diamonds: "):
        mirror.fetch()


def test_a_server_that_is_away_is_tried_again(tmp_path: Path) -> None:
    with GitServer(tmp_path / "srv") as server:
        server.create("acme/diamonds")
        url = server.url("acme/diamonds")
    with pytest.raises(Retry, match="unable to access"):
        mirrored(tmp_path, url).fetch()
    with pytest.raises(Retry):
        mirrored(tmp_path, "http://no-such-host.invalid/x.git").fetch()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc",
        "/etc",
        "ext::sh -c 'touch {marker}'",
        "ssh://127.0.0.1/x",
        "git://127.0.0.1/x",
        "ftp://127.0.0.1/x",
    ],
)
def test_only_configured_transports_are_used(tmp_path: Path, url: str) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(Refused, match="not allowed"):
        mirrored(tmp_path, url.format(marker=marker)).fetch()
    assert not marker.exists()


def test_only_configured_repositories_have_a_mirror(tmp_path: Path, gate: Gate, origin: Origin) -> None:
    hosts = MirrorHost(tmp_path / "mirrors", {"Acme/Diamonds": gate.url()}, protocols=("http",))
    head = origin.commit({"a.py": "1"})
    assert hosts.repository("acme/DIAMONDS").fetch() == {"refs/heads/main": head}
    assert hosts.repository("acme/diamonds") is hosts.repository("Acme/Diamonds")
    for name in ("acme/other", "", "../acme/diamonds"):
        with pytest.raises(Refused, match="not configured"):
            hosts.repository(name)
    hosts.close()


def test_a_new_address_in_the_configuration_is_used(
    tmp_path: Path, mirror: Mirror, server: GitServer, origin: Origin
) -> None:
    origin.commit({"a.py": "1"})
    mirror.fetch()
    moved = Origin(server.create("acme/moved")).commit({"a.py": "2"})
    assert mirrored(tmp_path, server.url("acme/moved")).fetch() == {"refs/heads/main": moved}


# crashes ---------------------------------------------------------------------------------------------------------------


def test_what_a_killed_git_left_is_swept(mirror: Mirror, origin: Origin) -> None:
    first = origin.commit({"a.py": "1"})
    mirror.fetch()
    folder = mirror.git.folder
    left = [
        folder / "packed-refs.lock",
        folder / "config.lock",
        folder / "refs/heads/main.lock",
        folder / "shallow.lock",
        folder / "objects/pack/tmp_pack_Ab12",
        folder / "objects/pack/tmp_idx_Ab12",
    ]
    for path in left:
        path.write_text("left by a killed git")
    second = origin.commit({"a.py": "2"}, parents=(first,))
    origin.git("update-ref", "refs/heads/other", second)
    assert mirror.fetch() == {"refs/heads/main": second, "refs/heads/other": second}
    assert [path for path in left if path.exists()] == []


def _empty(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()


def _cut(pattern: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        for path in folder.glob(pattern):
            path.chmod(0o644)
            path.write_bytes(b"")

    return damage


def _flip(folder: Path) -> None:
    (pack,) = folder.glob("objects/pack/*.pack")
    pack.chmod(0o644)
    content = bytearray(pack.read_bytes())
    content[20:-20] = bytes(255 - byte for byte in content[20:-20])
    pack.write_bytes(content)


def _packless(folder: Path) -> None:
    for path in folder.glob("objects/pack/*"):
        path.unlink()


@pytest.mark.parametrize(
    "damage",
    [
        _empty,
        _cut("HEAD"),
        _cut("config"),
        _cut("objects/pack/*.pack"),
        _cut("objects/pack/*.idx"),
        _cut("packed-refs"),
        _cut("refs/heads/*"),
        _flip,
        _packless,
    ],
)
def test_a_mirror_that_git_cannot_read_is_made_anew(
    tmp_path: Path, mirror: Mirror, origin: Origin, damage: Callable[[Path], None]
) -> None:
    first = origin.commit({"a.py": "1"})
    mirror.fetch(first)
    mirror.compare(None, first)  # a diff-tree that lives on, over the old files
    damage(mirror.git.folder)
    second = origin.commit({"a.py": "2", "b.py": ""}, parents=(first,))
    mirror.fetch(first, second)
    assert mirror.refs() == {"refs/heads/main": second}
    assert [change.path for change in mirror.compare(first, second).files] == ["a.py", "b.py"]
    assert [path.name for path in (tmp_path / "mirrors").iterdir() if path.is_dir()] == ["acme__diamonds.git"]


def test_a_mirror_is_not_thrown_away_because_the_remote_says_no(mirror: Mirror, origin: Origin, gate: Gate) -> None:
    head = origin.commit({"a.py": "1"})
    mirror.fetch()
    gate.error = 404
    with pytest.raises(Refused):
        mirror.fetch()
    assert mirror.commit(head).sha == head


def test_a_mirror_that_was_half_made_is_made_anew(tmp_path: Path, mirror: Mirror, origin: Origin) -> None:
    head = origin.commit({"a.py": "1"})
    for name in ("acme__diamonds.git", "acme__diamonds.git.making"):
        (tmp_path / "mirrors" / name / "objects").mkdir(parents=True)
        (tmp_path / "mirrors" / name / "HEAD").write_text("ref: refs/he")
    assert mirror.fetch() == {"refs/heads/main": head}


FETCH = """
import json, sys
from pathlib import Path
from service.adapters.git.mirror import Mirror
print(json.dumps(Mirror(Path(sys.argv[1]), sys.argv[2], protocols=("http",)).fetch()))
"""


def fetching(mirror: Mirror, url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, str(mirror.git.folder), url]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_two_processes_fetch_at_once(mirror: Mirror, origin: Origin, gate: Gate) -> None:
    refs = {f"refs/heads/{n}": origin.commit({"a.py": str(n)}, f"refs/heads/{n}") for n in range(30)}
    for _ in range(2):
        others = [fetching(mirror, gate.url()) for _ in range(3)]
        with ThreadPoolExecutor(3) as threads:
            assert list(threads.map(lambda _: mirror.fetch(), range(3))) == [refs] * 3
        assert [json.loads(other.communicate()[0]) for other in others] == [refs] * 3
        for name in refs:
            refs[name] = origin.commit({"a.py": name}, name)


def test_a_git_that_outlives_a_killed_service_keeps_the_lock(mirror: Mirror, origin: Origin, gate: Gate) -> None:
    """SIGKILL in the middle of a fetch: git goes on, so the next service must not write beside it, nor sweep its files."""
    origin.commit({"a.py": "1"})
    mirror.fetch()
    head = origin.commit({"a.py": "2"})
    gate.open.clear()
    killed = fetching(mirror, gate.url())
    until(lambda: gate.waiting == 1, "the fetch has begun")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    with mirror.git.folder.with_suffix(".lock").open() as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    gate.open.set()
    assert mirror.fetch(head) == {"refs/heads/main": head}


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.01)
