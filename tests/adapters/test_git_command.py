"""How git is run: what it is told, what it may not see, and what nobody is told afterwards."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from service.adapters.git.command import Git
from service.cli.demo.git_server import run_git
from service.domain.errors import Refused, Retry
from tests.origins import Gate, Origin, mirrored

SECRET = "ghs_s3cr3t/with+odd@characters"
QUOTED = "ghs_s3cr3t%2Fwith%2Bodd%40characters"


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """In an empty bare repository."""
    return Git(Origin(tmp_path / "x.git").path)


# credentials -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("credential", "person", "token"),
    [
        (f"x-access-token:{SECRET}", "", SECRET),
        (f"ada:{SECRET}", f"ada:{QUOTED}@", ""),
        (f"{SECRET}:", f"{QUOTED}@", ""),
        (f"ada:{SECRET}", f"ada:{QUOTED}@", "another"),
    ],
    ids=["token", "password in the URL", "token in the URL", "the URL's own"],
)
def test_a_credential_opens_the_remote_and_shows_nowhere(
    tmp_path: Path, origin: Origin, gate: Gate, credential: str, person: str, token: str
) -> None:
    head = origin.commit({"a.py": "1"})
    mirror = mirrored(tmp_path, gate.url(person), token=token)
    gate.credential = credential
    assert mirror.fetch(head) == {"refs/heads/main": head}
    gate.credential = "another:one"
    with pytest.raises(Refused) as refused:
        mirror.fetch()
    assert gate.asked
    told = [*gate.arguments, str(refused.value).encode(), repr(mirror.git).encode()]
    told += [
        path.read_bytes()
        for path in tmp_path.rglob("*")
        if path.is_file() and path.is_relative_to(tmp_path / "mirrors")
    ]
    assert any(b"remote-http" in arguments for arguments in gate.arguments), "git was seen while it asked"
    assert [text for text in told if SECRET.encode() in text or QUOTED.encode() in text] == []


def test_without_a_credential_nobody_is_asked_for_one(tmp_path: Path, gate: Gate) -> None:
    gate.credential = "ada:secret"
    with pytest.raises(Refused, match=r"could not read|Authentication failed"):
        mirrored(tmp_path, gate.url()).fetch()


# surroundings ----------------------------------------------------------------------------------------------------------


def test_nothing_of_the_user_or_the_machine_reaches_git(
    git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".gitconfig").write_text("[user]\nname = Somebody\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'user.name=Somebody'")
    monkeypatch.setenv("GIT_DIR", "/nonexistent")
    monkeypatch.setenv("GIT_TRACE", "1")
    seen = git.run("config", "--list", "--show-origin", act="listing").decode()
    assert "Somebody" not in seen
    assert git.run("rev-parse", "--git-dir", act="asking").decode().strip() == str(git.folder)


def test_no_hook_and_no_helper_of_a_repository_runs(git: Git, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    script = f"#!/bin/sh\ntouch {marker}\n"
    for name in ("reference-transaction", "post-index-change"):
        hook = git.folder / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(script)
        hook.chmod(0o755)
    oid = git.run("hash-object", "-w", "-t", "tree", "--stdin", act="writing").decode().strip()
    commit = (
        git.run(
            "hash-object",
            "-w",
            "-t",
            "commit",
            "--stdin",
            act="writing",
            stdin=f"tree {oid}\nauthor A <a> 1 +0000\ncommitter A <a> 1 +0000\n\nx\n".encode(),
        )
        .decode()
        .strip()
    )
    git.run("update-ref", "refs/heads/main", commit, act="moving a ref")
    assert not marker.exists()
    run_git("update-ref", "refs/heads/other", commit, cwd=git.folder)
    assert marker.exists(), "the hook is a good one"


def test_a_certificate_and_a_proxy_are_passed_on(git: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("SSL_CERT_FILE", "http_proxy", "https_proxy", "HTTPS_PROXY", "NO_PROXY", "no_proxy")
    for name in names:
        monkeypatch.setenv(name, f"of {name}")
    monkeypatch.setenv("REFIT_WEBHOOK_SECRET", "no business of git's")
    assert {name: git.environment()[name] for name in names} == {name: f"of {name}" for name in names}
    assert "REFIT_WEBHOOK_SECRET" not in git.environment()


# failures --------------------------------------------------------------------------------------------------------------


def failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """The next git is this script."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin" / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    "said",
    [
        "fatal: unable to access 'http://h/x.git/': Failed to connect to h port 80 after 0 ms: Couldn't connect to server",
        "fatal: unable to access 'https://h/x.git/': Could not resolve host: h",
        "fatal: unable to access 'https://h/x.git/': The requested URL returned error: 503",
        "fatal: unable to access 'https://h/x.git/': The requested URL returned error: 429",
        "fatal: unable to access 'https://h/x.git/': Operation too slow. Less than 1 bytes/sec transferred the last 300 seconds",
        "error: RPC failed; curl 18 transfer closed with outstanding read data remaining\nfatal: early EOF",
        "fatal: the remote end hung up unexpectedly",
        "ssh: connect to host h port 22: Connection refused\nwarning: odd\nhint: try harder",
        "error: index-pack died of signal 9",
        "fatal: write error: No space left on device",
        "fatal: Unable to create '/m/packed-refs.lock': File exists.\n\nAnother git process seems to be running",
    ],
)
def test_what_may_pass_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    failing(tmp_path, monkeypatch, f"cat >&2 <<'END'\n{said}\nEND\nexit 128")
    with pytest.raises(Retry, match=r"fetching: " + re.escape(said.partition("\n")[0])):
        Git(tmp_path).run("fetch", act="fetching")


@pytest.mark.parametrize(
    "said",
    [
        "remote: Repository not found.\nfatal: repository 'https://h/x.git/' not found",
        "fatal: unable to access 'https://h/x.git/': The requested URL returned error: 403",
        "error: RPC failed; HTTP 403 curl 22 The requested URL returned error: 403",
        "fatal: Authentication failed for 'https://h/x.git/'",
        "fatal: Not a valid object name 5005025034290000000000000000000000000000",
        "fatal: path 'connection/500.lock' does not exist in 'main'",
        "fatal: transport 'file' not allowed",
    ],
)
def test_what_will_not_pass_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    failing(tmp_path, monkeypatch, f"cat >&2 <<'END'\nhint: try harder\nwarning: odd\n{said}\nEND\nexit 128")
    with pytest.raises(
        Refused, match=re.escape(next(line for line in said.splitlines() if line.startswith(("fatal", "error"))))
    ):
        Git(tmp_path).run("fetch", act="fetching")


@pytest.mark.parametrize("credential", [f"ada:{SECRET}", f"{SECRET}:"])
def test_errors_are_scrubbed_and_safe_to_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, credential: str) -> None:
    said = f"fatal: https://eve:hunter2@host/x of {SECRET}: \x1b[31mred\u202e"
    failing(tmp_path, monkeypatch, f"cat >&2 <<'END'\n{said}\nEND\nexit 1")
    with pytest.raises(Refused) as caught:
        Git(tmp_path, credential=credential).run("fetch", act="fetching")
    assert str(caught.value) == "fetching: fatal: https://***@host/x of ***: \\x1b[31mred\\x202e"


def test_a_killed_git_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(tmp_path, monkeypatch, "kill -9 $$")
    with pytest.raises(Retry, match="fetching: git was ended by SIGKILL"):
        Git(tmp_path).run("fetch", act="fetching")


def test_a_git_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(tmp_path, monkeypatch, f"sleep 600 & echo $! > {tmp_path / 'pid'}\nwait")
    with pytest.raises(Retry, match="fetching: git took too long"):
        Git(tmp_path, patience=0.5).run("fetch", act="fetching")
    pid = (tmp_path / "pid").read_text().strip()
    listed = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True, check=False).stdout
    assert listed.strip()[:1] in ("", "Z")
