"""Owns a git server on a loopback port, git's own http-backend, whose pushes arrive as signed webhooks; refuses anything
but loopback. The demo and the tests use it in the place of GitHub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

_HOOK = """#!/bin/sh
exec "{python}" "{script}" "{settings}"
"""
_POST = Path(__file__).with_name("post_receive.py")


class GitServer:
    """Serves the bare repositories ``<folder>/<owner>/<name>.git`` over smart HTTP, for reading and pushing; port 0 is any."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        handler = type("Handler", (_Backend,), {"folder": folder})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="git-server", daemon=True)

    def __enter__(self) -> GitServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/{name}.git"

    def create(self, name: str) -> Path:
        """An empty bare repository that allows pushes, partial clones and fetches by SHA, as GitHub's do."""
        path = self._folder / f"{name}.git"
        run_git("init", "--quiet", "--bare", "--initial-branch=main", str(path))
        for key in ("http.receivepack", "uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
            run_git("config", key, "true", cwd=path)
        return path

    def hook(self, name: str, url: str, secret: str) -> None:
        """From now on each pushed ref is POSTed to ``url`` as GitHub would; the secret stays in a private file."""
        path = self._folder / f"{name}.git"
        settings = path / "webhook.json"
        settings.touch(mode=0o600)
        settings.write_text(json.dumps({"url": url, "secret": secret, "repository": name}), encoding="utf-8")
        hook = path / "hooks" / "post-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(_HOOK.format(python=sys.executable, script=_POST, settings=settings), encoding="utf-8")
        hook.chmod(0o755)


def run_git(*arguments: str, cwd: Path | None = None) -> str:
    """Stdout of git, run without the user's own configuration; ``CalledProcessError`` carries its stderr."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
    }
    done = subprocess.run(["git", *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class _Backend(BaseHTTPRequestHandler):
    """One request, handed to ``git http-backend`` as CGI."""

    folder: Path
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self._body())

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the story is told elsewhere."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _serve(self, body: bytes) -> None:
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=self._environment(body), capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").splitlines() if ": " in line)
        self.send_response(int(headers.pop("Status", "200" if head else "500").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _environment(self, body: bytes) -> Mapping[str, str]:
        parts = urlsplit(self.path)
        return {
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
