"""Owns real repositories for tests of the git adapters, on disk and served over HTTP; refuses fakes."""

from __future__ import annotations

import gzip
import os
import subprocess
import threading
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from service.adapters.git.mirror import Mirror
from service.cli.demo.git_server import run_git

Files = Mapping[str, str | bytes | tuple[str, str]]
"""Path → content, or (mode, content); a submodule's content is the OID of its commit."""


class Origin:
    """A bare repository whose commits are written with plumbing, so that no path, mode or header is out of reach."""

    def __init__(self, path: Path, format: str = "sha1") -> None:
        self.path = path
        if not path.exists():
            run_git("init", "--quiet", "--bare", "--initial-branch=main", f"--object-format={format}", str(path))

    def git(self, *words: str | bytes, stdin: bytes = b"") -> bytes:
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_DIR": str(self.path),
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": "/nonexistent",
        }
        done = subprocess.run(["git", *words], env=environment, input=stdin, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.removesuffix(b"\n")

    def blob(self, content: bytes) -> str:
        return self.git("hash-object", "-w", "--stdin", stdin=content).decode()

    def tree(self, files: dict[bytes, tuple[str, bytes]]) -> str:
        folders: dict[bytes, dict[bytes, tuple[str, bytes]]] = {}
        rows = []
        for path, (mode, content) in files.items():
            folder, slash, rest = path.partition(b"/")
            if slash:
                folders.setdefault(folder, {})[rest] = (mode, content)
            else:
                oid = content.decode() if mode == "160000" else self.blob(content)
                rows.append(f"{mode} {'commit' if mode == '160000' else 'blob'} {oid}\t".encode() + path)
        rows += [f"040000 tree {self.tree(inner)}\t".encode() + folder for folder, inner in folders.items()]
        return self.git("mktree", "-z", "--missing", stdin=b"".join(row + b"\0" for row in rows)).decode()

    def commit(
        self,
        files: Files,
        ref: str = "refs/heads/main",
        parents: tuple[str, ...] = (),
        message: str = "a commit",
    ) -> str:
        """A commit of just these files."""
        plain = {}
        for path, given in files.items():
            mode, content = given if isinstance(given, tuple) else ("100644", given)
            plain[os.fsencode(path)] = (mode, content.encode() if isinstance(content, str) else content)
        tree = self.tree(plain)
        people = b"author Ada <a@example.org> 1700000000 +0000\ncommitter Ada <a@example.org> 1700000000 +0000\n"
        above = "".join(f"parent {sha}\n" for sha in parents)
        return self.raw_commit(f"tree {tree}\n{above}".encode() + people + f"\n{message}\n".encode(), ref)

    def quickly(self, files: Mapping[str, str], ref: str = "refs/heads/main") -> str:
        """A commit of many plain files, in one go."""
        rows = [f"commit {ref}\ncommitter A <a> 1700000000 +0000\ndata 0\n"]
        rows += [f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n" for path, text in files.items()]
        self.git("fast-import", "--quiet", stdin="".join(rows).encode())
        return self.git("rev-parse", ref).decode()

    def raw_commit(self, text: bytes, ref: str = "refs/heads/main") -> str:
        """A commit of exactly these bytes; without a ref, git need not approve of it."""
        sha = self.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", stdin=text).decode()
        if ref:
            self.git("update-ref", ref, sha)
        return sha


def mirrored(folder: Path, url: str, **more: str) -> Mirror:
    """A mirror below ``folder``, not fetched yet."""
    return Mirror(folder / "mirrors" / "acme__diamonds.git", url, protocols=("http",), **more)


class Gate:
    """A proxy before a git server: lets in who knows the password, notes what each request asked and what any process of
    this machine then had in its argument list, and can be told to answer with an error instead."""

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self.credential = ""
        self.arguments: list[bytes] = []
        self.asked: list[str] = []
        self.fetches = 0
        self.error = 0
        self.open = threading.Event()
        self.open.set()
        self.waiting = 0
        handler = type("Handler", (_Gated,), {"gate": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def url(self, person: str = "") -> str:
        """Of the one repository that is behind it."""
        return f"http://{person}127.0.0.1:{self._server.server_address[1]}/acme/diamonds.git"

    def __enter__(self) -> Gate:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Gated(BaseHTTPRequestHandler):
    gate: Gate

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._serve(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)

    def log_message(self, format: str, *args: object) -> None: ...

    def _serve(self, body: bytes | None) -> None:
        gate = self.gate
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    gate.arguments.append((folder / "cmdline").read_bytes())
                except OSError:
                    continue
        gate.asked.append(self.path)
        if body is not None and b"command=fetch" in body:
            gate.fetches += 1
            gate.waiting += 1
            gate.open.wait(60)
            gate.waiting -= 1
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        if gate.error:
            self.send_error(gate.error)
        elif gate.credential and (kind != "Basic" or b64decode(given).decode() != gate.credential):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._forward(body)

    def _forward(self, body: bytes | None) -> None:
        passed = {name: self.headers[name] for name in ("Content-Type", "Git-Protocol") if name in self.headers}
        request = urllib.request.Request(self.gate.behind + self.path.removeprefix("/acme/diamonds.git"), body, passed)
        try:
            with urllib.request.urlopen(request) as answer:
                status, headers, content = answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            status, headers, content = error.code, error.headers, error.read()
        self.send_response(status)
        self.send_header("Content-Type", headers["Content-Type"] or "text/plain")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
