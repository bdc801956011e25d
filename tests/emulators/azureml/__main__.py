"""Owns the emulator's process: ``python -m tests.emulators.azureml --folder … --python … --azurite …`` prints where it is
and serves; refuses to hold blobs and queues, which Azurite does."""

from __future__ import annotations

import argparse
import json
import os
import signal
import ssl
from pathlib import Path
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from tests.emulators.azureml.assets import Assets
from tests.emulators.azureml.blobs import HOST, QUEUE_HOST, ZONE, Blobs
from tests.emulators.azureml.certificates import certificates
from tests.emulators.azureml.door import Door
from tests.emulators.azureml.engine import Engine
from tests.emulators.azureml.events import Events
from tests.emulators.azureml.history import History
from tests.emulators.azureml.jobs import Jobs
from tests.emulators.azureml.names import Names
from tests.emulators.azureml.resources import Resources
from tests.emulators.azureml.runs import Runs
from tests.emulators.azureml.state import State
from tests.emulators.azureml.steps import Steps
from tests.emulators.azureml.tokens import Tokens
from tests.emulators.azureml.tracking import Tracking

_BASE = {
    "HOME": "/tmp", "PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8",
    "OMP_WAIT_POLICY": "PASSIVE",  # where jobs share few processors, waiting busily takes five times as long
}  # fmt: skip


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def make_environ(self) -> dict[str, Any]:
        """With the headers as they came: metadata of a blob has names that WSGI cannot hold."""
        return super().make_environ() | {"refit.headers": list(self.headers.items())}

    def log(self, type: str, message: str, *args: object) -> None:
        """Silent: the journal counts requests."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True, help="where state and jobs are")
    parser.add_argument("--python", required=True, help="the interpreter that every image has")
    parser.add_argument("--azurite", required=True, help="where Azurite serves blobs")
    parser.add_argument("--azurite-queues", default="", help="where Azurite serves queues")
    parser.add_argument("--queue", default="", help="name of the queue that events go to")
    given = parser.parse_args()
    state = State(given.folder)
    shown = certificates(given.folder / "tls", ("localhost", HOST, QUEUE_HOST))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.server, shown.key)
    places = state.get("places", "ports") or {"door": 0, "names": 0}
    door: list[Door] = []
    server = make_server("127.0.0.1", places["door"], lambda *given: door[0](*given), threaded=True,
                         request_handler=_Quiet)  # fmt: skip
    # Each connection shakes hands on its own thread: one that stalls keeps nobody else waiting.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    url = f"https://localhost:{server.server_port}"
    names = Names(ZONE, server.server_port, places["names"]).start()
    state.put("places", "ports", {"door": server.server_port, "names": names})
    blobs = Blobs(given.azurite, os.environ["REFIT_EMULATOR_ACCOUNT_KEY"])
    tokens = Tokens(state, url)
    resources, assets = Resources(blobs, url), Assets(state, blobs, url)
    events = Events(given.azurite_queues, given.queue, blobs) if given.queue else None
    if events is not None:
        events.start()
    runs = Runs(state, events.moved if events is not None else None)
    trusted = {name: str(shown.authority) for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")}
    steps = Steps(given.folder / "jobs", blobs, given.python, _BASE | trusted)
    engine = Engine(runs, assets, steps, tokens, url)
    rooms = (tokens, resources, assets, Jobs(runs, assets, engine, url), History(runs, blobs, url), Tracking(runs))
    door.append(Door([route for room in rooms for route in room.routes()], tokens, blobs, engine.troubles,
                     queues=given.azurite_queues))  # fmt: skip
    engine.resume()

    def end(*_: object) -> None:
        steps.stop_all()
        os._exit(0)  # threads of jobs whose processes were just ended must not say that they failed

    signal.signal(signal.SIGTERM, end)
    said: dict[str, Any] = {"url": url, "names": f"http://127.0.0.1:{names}", "client_secret": tokens.client_secret,
                            "ca": str(shown.authority)}  # fmt: skip
    print(json.dumps(said), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
