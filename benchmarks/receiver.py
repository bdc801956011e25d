"""Owns how fast webhooks are taken in and stored, beside the same endpoint that stores nothing; refuses to leave loopback.

Run as a module, it is the client: a process of its own, a few connections that stay, one request at a time on each.
"""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

from benchmarks.measure import ROOT, SCRATCH, Report, percentile, progress, settle
from benchmarks.serving import Served, push_body, request, served, signed

CONNECTIONS, SECONDS, ROUNDS = 32, 6.0, 5
BOUND = 0.35
_BODIES = 200
_END = b"\r\n\r\n"


def run(rounds: int = ROUNDS, seconds: float = SECONDS) -> None:
    report = Report("receiver", "Receiver: signed pushes of 8 kB on 32 kept connections, SQLite, fsync before 202")
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="refit-receiver-", dir=SCRATCH) as folder, ExitStack() as stack:
        homes = {name: Path(folder) / name for name in ("stored", "unstored", "working")}
        services = {
            "stored": stack.enter_context(served(homes["stored"], "-m", "service", "serve", "--no-worker")),
            "unstored": stack.enter_context(served(homes["unstored"], "-m", "benchmarks.serving")),
            "working": stack.enter_context(served(homes["working"])),
        }
        for service in services.values():
            _load(service, 2.0)  # warm
        settle()
        before = _rows(homes["stored"])
        rates: dict[str, list[float]] = {name: [] for name in services}
        tails: dict[str, list[float]] = {name: [] for name in services}
        answered = 0
        for number in range(rounds):
            for name, service in services.items():
                progress.print(f"receiver: round {number + 1}, {name}")
                rate, tail, count = _load(service, seconds)
                rates[name].append(rate)
                tails[name].append(tail)
                answered += count if name == "stored" else 0
        if _rows(homes["stored"]) - before != answered or _rows(homes["unstored"]):
            raise RuntimeError("what was answered and what is on disk differ; the figures mean nothing")
    shares = [one / other for one, other in zip(rates["stored"], rates["unstored"], strict=True)]
    share = statistics.median(shares)
    report.add(
        "stored", "requests/s", rates["stored"], ratio=share, to="of unstored", bound=f"≥ {BOUND}", kept=share >= BOUND
    )
    report.add("unstored", "requests/s", rates["unstored"])
    tail = statistics.median(tails["stored"]) / statistics.median(tails["unstored"])
    report.add("stored: p99", "ms", tails["stored"], ratio=tail, to="× unstored")
    report.add("unstored: p99", "ms", tails["unstored"])
    share = statistics.median(rates["working"]) / statistics.median(rates["unstored"])
    report.add(
        "stored, with the worker in the same process", "requests/s", rates["working"], ratio=share, to="of unstored"
    )
    report.add("stored, with the worker in the same process: p99", "ms", tails["working"])
    report.note(f"{answered} deliveries answered 202 and counted on disk; the client shares the machine's cores.")
    report.publish()


def _rows(home: Path) -> int:
    with closing(sqlite3.connect(f"file:{home / 'refit.db'}?mode=ro", uri=True, timeout=30)) as database:
        return int(database.execute("select count(*) from deliveries").fetchone()[0])


def _load(service: Served, seconds: float) -> tuple[float, float, int]:
    """Requests per second, the 99th percentile in milliseconds, and how many were answered 202; from another process."""
    command = [sys.executable, "-m", "benchmarks.receiver", service.host, str(service.port), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode:
        raise RuntimeError(done.stderr[-2_000:])
    said = json.loads(done.stdout)
    return said["rate"], said["p99"], said["answered"]


# the client ---------------------------------------------------------------------------------------------------------------


class _Client(asyncio.Protocol):
    """One connection: the next request as soon as the last is answered, until it is time."""

    def __init__(self, parts: list[list[bytes]], until: float, kept: list[float]) -> None:
        self._parts, self._until, self._kept = parts, until, kept
        self._heard = b""
        self._random = random.Random(id(self))  # noqa: S311 – which branch is pushed
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(request(self._random.choice(self._parts)))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._heard += data
        head, end, body = self._heard.partition(_END)
        if not end or len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]):
            return
        if b" 202 " not in head[:20]:
            self.done.set_exception(RuntimeError(self._heard[:500].decode()))
            return
        now = time.perf_counter()
        self._kept.append(now - self._began)
        self._heard = b""
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


async def _storm(host: str, port: int, seconds: float) -> None:
    bodies = [
        push_body("acme/mono", f"refs/heads/branch-{number}", "1" * 40, f"{number:040x}") for number in range(_BODIES)
    ]
    parts = [signed(body) for body in bodies]
    kept: list[float] = []
    began = time.perf_counter()
    loop = asyncio.get_running_loop()
    clients = [
        (await loop.create_connection(lambda: _Client(parts, began + seconds, kept), host, port))[1]
        for _ in range(CONNECTIONS)
    ]
    await asyncio.gather(*(client.done for client in clients))
    took = time.perf_counter() - began
    said = {"rate": len(kept) / took, "p99": percentile(kept, 0.99) * 1_000, "answered": len(kept)}
    print(json.dumps(said))


if __name__ == "__main__":
    asyncio.run(_storm(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
