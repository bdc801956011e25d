"""Owns the emulator's process: ``python -m tests.emulators.sagemaker --folder … --python …`` prints its URL and serves."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.emulators.sagemaker.door import Door
from tests.emulators.sagemaker.engine import Engine
from tests.emulators.sagemaker.jobs import Cloud
from tests.emulators.sagemaker.operations import Operations, Refusal
from tests.emulators.sagemaker.packages import Packages


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        """Silent: the journal counts calls."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True, help="where jobs run")
    parser.add_argument("--python", required=True, help="the interpreter that every image has")
    parser.add_argument(
        "--still", action="store_true", help="processing jobs run nothing and last until they are stopped"
    )
    parser.add_argument("--queue", default="", help="name of the queue that events go to, in the emulator's own SQS")
    given = parser.parse_args()
    # Commands may ask moto what only its own account has; nothing here leaves loopback.
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "emulator")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "emulator")
    cloud = Cloud("", given.python, given.folder, still=given.still, queue=given.queue)
    packages = Packages(Refusal)
    engine = Engine(cloud, packages.register)
    door = Door((Operations(cloud, engine), packages), DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, door, threaded=True, request_handler=_Quiet)
    cloud.endpoint = f"http://127.0.0.1:{server.server_port}"
    print(cloud.endpoint, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
