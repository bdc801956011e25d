"""Owns a proxy that knows hosts no name server does, such as an account's own; refuses to connect anywhere else."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading


class Names(socketserver.ThreadingTCPServer):
    """Answers ``CONNECT`` to a host of this zone with a tunnel to ``port`` on loopback, 403 for anything else."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, zone: str, port: int, own: int = 0) -> None:
        super().__init__(("127.0.0.1", own), _Tunnel)
        self.zone = zone
        self.port = port

    def start(self) -> int:
        """The port it listens on."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return int(self.server_address[1])


class _Tunnel(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        words = self.rfile.readline(8192).decode("latin-1").split()
        while self.rfile.readline(8192).strip():
            pass
        names = self.server
        assert isinstance(names, Names), "made by it"
        host = words[1].rpartition(":")[0] if len(words) > 1 else ""
        if not words or words[0] != "CONNECT" or not host.endswith(names.zone):
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", names.port)) as there:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=(there, self.connection), daemon=True)
            back.start()
            _copy(self.connection, there)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
