"""Owns the verbs of an operator: serve, worker, doctor, token; refuses to build anything itself."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Annotated

import typer

from service.bootstrap import doctor as surgery
from service.bootstrap import server as bootstrap
from service.bootstrap.parts import database_of_server
from service.cli.logs import log_to_stderr
from service.cli.output import ERROR, messages, print_json, results
from service.domain.errors import Refused
from service.domain.tokens import SCOPES, new_token
from service.settings import Settings
from service.web.connections import Config, Server

app = typer.Typer()
tokens = typer.Typer(no_args_is_help=True, help="Create, list and revoke API tokens.")
app.add_typer(tokens, name="token")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 chooses a free one.")] = None,
    worker: Annotated[bool, typer.Option(help="Also run the work; --no-worker leaves it to `refit worker`.")] = True,
) -> None:
    """Receive webhooks, answer the API and the pages, and (unless told otherwise) do the work."""
    chosen = {key: value for key, value in {"host": host, "port": port}.items() if value is not None}
    settings = Settings(**chosen)  # type: ignore[arg-type]
    log_to_stderr(quiet=False)
    for line in bootstrap.choices(settings):
        messages.print(line, markup=False, style="dim")
    with bootstrap.runtime(settings) as runtime:
        config = Config(
            bootstrap.web(runtime),
            bootstrap.bounds(settings),
            host=settings.host,
            port=settings.port,
            trusted_proxies=settings.trusted_proxies,
        )
        server = _Server(config, runtime)
        # When it is done, uvicorn raises the signal that ended it once more; by default that would end the process right
        # there, with the work still in hand.
        signal.signal(signal.SIGTERM, server.handle_exit)
        with bootstrap.working(runtime) if worker else nullcontext():
            server.run()
    if not server.started:
        raise typer.Exit(ERROR)


class _Server(Server):
    """Says where it listens once it does: on stderr for people, in ``home/serve.json`` for the CLI and the demo."""

    def __init__(self, config: Config, runtime: bootstrap.Runtime) -> None:
        super().__init__(config)
        self._file = runtime.settings.home / "serve.json"

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            address = self.servers[0].sockets[0].getsockname()
            url = f"http://{address[0]}:{address[1]}"
            waiting = self._file.with_suffix(".tmp")
            waiting.write_text(json.dumps({"url": url, "pid": os.getpid()}), encoding="utf-8")
            waiting.replace(self._file)
            messages.print(f"refit listens on {url}", markup=False)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        with suppress(OSError, ValueError):  # a second server in this home may have written its own since
            if json.loads(self._file.read_bytes())["pid"] == os.getpid():
                self._file.unlink()
        await super().shutdown(sockets)


@app.command()
def worker() -> None:
    """Do the work that a `refit serve --no-worker` on the same database receives."""
    settings = Settings()
    log_to_stderr(quiet=False)
    # No threading.Event: a handler that sets it may wait for the very thread that it interrupted.
    asked, ask = os.pipe()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        os.write(ask, b"\0")

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with bootstrap.runtime(settings) as runtime, bootstrap.working(runtime):
        messages.print("refit works", markup=False)
        os.read(asked, 1)


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """Check every setting against the real thing and say what to do about what is wrong."""
    checks = surgery.examine()
    if as_json:
        print_json([{"check": c.name, "ok": c.ok, "detail": c.detail} for c in checks])
    else:
        for check in checks:
            mark = "[green]ok[/]  " if check.ok else "[red]fails[/]"
            results.print(mark, end=" ")
            results.print(f"{check.name}: {check.detail}", markup=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(ERROR)


@tokens.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[list[str] | None, typer.Option(help="read, run or admin; repeatable.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires; default: never.")] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="When it expires instead, in UTC."),
    ] = None,
) -> None:
    """Make a token and print it once; only its hash is stored."""
    scopes = tuple(scope or ["read"])
    if wrong := [one for one in scopes if one not in SCOPES]:
        raise Refused(f"creating a token: no scope {wrong[0]!r}; there are {', '.join(SCOPES)}")
    now = datetime.now(UTC)
    if days and until:
        raise Refused("creating a token: give --days or --until, not both")
    expires = now + timedelta(days=days) if days else until.replace(tzinfo=UTC) if until else None
    if expires is not None and expires <= now:
        raise Refused(f"creating a token: {expires:%Y-%m-%d %H:%M:%S} UTC has passed already")
    with database_of_server() as store:
        secret, token = new_token(name, scopes, now, expires)
        with store.begin() as work:
            work.tokens.add(token)
    messages.print(f"token {token.id} ({', '.join(scopes)}); it is shown only now:", markup=False)
    results.print(secret, markup=False)


@tokens.command("list")
def token_list(as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False) -> None:
    """List tokens, never their secrets."""
    with database_of_server() as store, store.read() as work:
        found = work.tokens.list()
    rows = [
        {
            "id": t.id,
            "name": t.name,
            "scopes": list(t.scopes),
            "created_at": t.created_at.isoformat(),
            "expires_at": t.expires_at.isoformat() if t.expires_at else None,
            "revoked_at": t.revoked_at.isoformat() if t.revoked_at else None,
            "last_used_at": t.last_used_at.isoformat() if t.last_used_at else None,
        }
        for t in found
    ]
    if as_json:
        print_json(rows)
    for row in [] if as_json else rows:
        state = f"revoked {row['revoked_at']}" if row["revoked_at"] else f"expires {row['expires_at'] or 'never'}"
        used = f"used {row['last_used_at'][:16]}" if row["last_used_at"] else "never used"
        results.print(f"{row['id']}  {row['name']}  {row['scopes']}  {state}, {used}", markup=False)


@tokens.command("revoke")
def token_revoke(id: Annotated[str, typer.Argument(help="The token's id, from `refit token list`.")]) -> None:
    """Revoke a token at once."""
    with database_of_server() as store, store.begin() as work:
        if not work.tokens.revoke(id):
            raise Refused(f"revoking {id}: there is no such token; `refit token list` shows them")
    messages.print(f"revoked {id}", markup=False)
