"""Owns Debian's nginx with the configuration that is shipped; refuses to change more of it than where it listens, what it
stands before, and where it may write."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.conftest import absent
from tests.container.images import ROOT
from tests.web.served import Served, until

CONFIGURATION = ROOT / "deploy" / "nginx.conf"


@contextmanager
def proxied(folder: Path, service: Served) -> Iterator[Served]:
    """The service again, with nginx before it."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/bin")
    if nginx is None:
        absent("nginx", "apt-get install nginx")
    port = _free_port()
    text = CONFIGURATION.read_text(encoding="utf-8")
    for old, new in (
        ("server api:8080;", f"server {service.host}:{service.port};"),
        ("listen 8080;", f"listen 127.0.0.1:{port};"),
        ("pid /run/nginx.pid;", f"pid {folder}/nginx.pid;"),
        ("http {", "http {\n" + "".join(f"  {name}_temp_path {folder}/{name};\n" for name in _TEMPORARY)),
    ):
        assert text.count(old) == 1, f"{old!r} is not once in {CONFIGURATION}"
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    command = [str(nginx), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    with (folder / "nginx.log").open("ab") as log:
        # Its workers are root as well as its master only because nobody else may enter a test's folder.
        process = subprocess.Popen(
            [*command, "-g", "daemon off; user root;"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        until(lambda: process.poll() is not None or _listens(port), "nginx listens")
        assert process.poll() is None, (folder / "nginx.log").read_text()
        yield replace(service, process=process, host="127.0.0.1", port=port)
    finally:
        process.terminate()
        process.wait(30)


_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as found:
        return int(found.getsockname()[1])


def _listens(port: int) -> bool:
    with closing(socket.socket()) as wire:
        return wire.connect_ex(("127.0.0.1", port)) == 0
