"""202 means on disk: the service is ended in the middle of a storm, and everything that it answered is there."""

from __future__ import annotations

import signal
import threading
import uuid
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.web.hostile import SECRET, request
from tests.web.served import Served, reply, served, until

PING = b'{"zen":"Keep it logically awesome."}'


class Storm:
    """Clients that send one webhook after the other, each on a connection that it keeps, until nobody answers."""

    def __init__(self, service: Served, clients: int = 12) -> None:
        self._service = service
        self.answered: list[str] = []
        self.refused: set[int] = set()
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        try:
            with self._service.connect() as wire:
                while True:
                    guid = str(uuid.uuid4())
                    wire.sendall(request(PING, X_GitHub_Event="ping", X_GitHub_Delivery=guid))
                    status = reply(wire).status
                    if not status:
                        return
                    (self.answered.append(guid) if status == 202 else self.refused.add(status))
        except OSError:
            return

    def end(self) -> None:
        for thread in self._threads:
            thread.join(60)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_answered_is_on_disk(database_url: str, tmp_path: Path, number: int) -> None:
    settings = {"REFIT_WEBHOOK_SECRET": SECRET.decode(), "REFIT_DATABASE_URL": database_url}
    with served(tmp_path / "home", **settings) as service:
        storm = Storm(service)
        until(lambda: len(storm.answered) >= 150, "many were answered")
        service.end(number)
        storm.end()
    assert not storm.refused
    engine = create_engine(database_url)
    with engine.connect() as connection:
        stored = set(connection.scalars(text("select id from deliveries")))
    engine.dispose()
    assert set(storm.answered) <= stored
