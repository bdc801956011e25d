"""Owns the tables; refuses to be imported by anything but this adapter and the migrations.

Times are seconds since the epoch, UTC. JSON is text in ASCII, so that neither NUL nor a lone surrogate reaches PostgreSQL.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)
_Id = String(128)
_Serial = BigInteger().with_variant(Integer, "sqlite")
_Time = Float(53)


def _job() -> list[Column[object]]:
    """What makes a row carry work: see jobs.py. ``due_at`` is null once the work is settled."""
    return [
        Column("due_at", _Time),
        Column("leased_until", _Time),
        Column("fence", Integer, nullable=False, server_default="0"),
        Column("attempt", Integer, nullable=False, server_default="0"),
        Column("last_error", Text, nullable=False, server_default=""),
        Column("quarantined", Boolean, nullable=False, server_default=false()),
    ]


deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("name", String(64), nullable=False),
    Column("action", Text, nullable=False),
    Column("repository", String(256), nullable=False),
    Column("lane", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("received_at", _Time, nullable=False),
    Column("outcome", Text, nullable=False, server_default=""),
    Column("executions", Text, nullable=False, server_default="[]"),
    *_job(),
    Index(None, "due_at"),
    Index(None, "lane", "seq"),
    Index(None, "repository", "seq"),
)

_LIVE = "ended_at IS NULL"
"""Few rows among many: what a push supersedes is found without looking at all that its ref ever ran."""

executions = Table(
    "executions",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("repository", String(256), nullable=False),
    Column("pipeline", String(128), nullable=False),
    Column("ref", Text, nullable=False),
    Column("commit", String(64), nullable=False),
    Column("tree", String(64), nullable=False),
    Column("base", String(64)),
    Column("author", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("trigger", _Id, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("pull_request", Integer),
    Column("definition", Text, nullable=False),
    Column("removed", Text, nullable=False),
    Column("forced", Text, nullable=False),
    Column("targets", Text, nullable=False, server_default="[]"),
    Column("needs_approval", Text, nullable=False, server_default=""),
    Column("approved_by", Text, nullable=False, server_default=""),
    Column("cancelled", Text, nullable=False, server_default=""),
    Column("superseded_by", _Id, nullable=False, server_default=""),
    Column("ended_at", _Time),
    *_job(),
    UniqueConstraint("repository", "pipeline", "commit", "ref", "trigger"),
    Index(None, "due_at"),
    Index(None, "repository", "ref", "id"),
    Index("ix_executions_live", "repository", "ref", sqlite_where=text(_LIVE), postgresql_where=text(_LIVE)),
    Index(None, "commit"),
    Index(None, "ended_at", "id"),
    Index(None, "trigger"),
)

steps = Table(
    "steps",
    metadata,
    Column("execution", _Id, ForeignKey("executions.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("component", String(128), nullable=False),
    Column("planned", String(16), nullable=False),
    Column("decision", String(16)),
    Column("state", String(16), nullable=False),
    Column("static_key", String(64), nullable=False),
    Column("key", String(64)),
    Column("reasons", Text, nullable=False),
    Column("ingredients", Text, nullable=False),
    Column("result", _Id),
    Index(None, "static_key"),
    Index(None, "key"),
    Index(None, "state", "execution"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("token", String(256), primary_key=True),
    Column("execution", _Id, ForeignKey("executions.id"), nullable=False),
    Column("component", String(128), nullable=False),
    Column("number", Integer, nullable=False),
    Column("handle", Text),
    Column("seen", String(16), nullable=False),
    Column("error", Text, nullable=False),
    Column("exit_code", Integer),
    Column("started_at", _Time),
    Column("ended_at", _Time),
    Column("cancelling", Boolean, nullable=False),
    Column("submission", String(256), nullable=False, server_default=""),
    Index(None, "execution"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("execution", _Id, ForeignKey("executions.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("gate", Text, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("detail", Text, nullable=False),
    Column("value", Float(53)),
    Column("bound", Float(53)),
    Column("baseline", _Id, nullable=False),
)

occupations = Table(
    "occupations",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("token", String(256), nullable=False, unique=True),
    Column("backend", String(128), nullable=False),
)

results = Table(
    "results",
    metadata,
    Column("id", String(256), primary_key=True),
    Column("repository", String(256), nullable=False),
    Column("pipeline", String(128), nullable=False),
    Column("component", String(128), nullable=False),
    Column("execution", _Id, nullable=False),
    Column("commit", String(64), nullable=False),
    Column("tree", String(64), nullable=False),
    Column("ref", Text, nullable=False),
    Column("pull_request", Integer),
    Column("author", Text, nullable=False),
    Column("key", String(64), nullable=False),
    Column("static_key", String(64), nullable=False),
    Column("parts", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("backend", String(128), nullable=False),
    Column("job", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("started_at", _Time, nullable=False),
    Column("ended_at", _Time, nullable=False),
    Index(None, "commit"),
    Index(None, "execution"),
    Index("ix_results_baseline", "repository", "pipeline", "component", "ended_at"),
)

result_keys = Table(
    "result_keys",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("result", String(256), ForeignKey("results.id"), primary_key=True),
    Column("static_key", String(64), nullable=False),
    Index(None, "static_key"),
    Index(None, "result"),
)

result_inputs = Table(
    "result_inputs",
    metadata,
    Column("result", String(256), ForeignKey("results.id"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("source", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Index(None, "digest"),
)

result_outputs = Table(
    "result_outputs",
    metadata,
    Column("result", String(256), ForeignKey("results.id"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("digest", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("uri", Text, nullable=False),
    Index(None, "digest"),
)

result_metrics = Table(
    "result_metrics",
    metadata,
    Column("result", String(256), ForeignKey("results.id"), primary_key=True),
    Column("name", String(256), primary_key=True),
    Column("value", Float(53), nullable=False),
    Index(None, "name"),
)

standings = Table(
    "standings",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("repository", String(256), nullable=False),
    Column("ref", Text, nullable=False),
    Column("commit", String(64), nullable=False),
    Column("trigger", _Id, nullable=False),
    Column("at", _Time, nullable=False),
    Column("executions", Text, nullable=False),
    Column("fresh", Text, nullable=False),
    Column("marks", Text, nullable=False),
    UniqueConstraint("repository", "ref", "commit", "trigger"),
    Index(None, "repository", "ref", "id"),
    Index(None, "commit"),
)

promotions = Table(
    "promotions",
    metadata,
    Column("execution", _Id, primary_key=True),
    Column("component", String(128), primary_key=True),
    Column("repository", String(256), nullable=False),
    Column("pipeline", String(128), nullable=False),
    Column("commit", String(64), nullable=False),
    Column("ref", Text, nullable=False),
    Column("result", String(256), nullable=False),
    Column("at", _Time, nullable=False),
    Index(None, "commit"),
    Index(None, "result"),
    Index("ix_promotions_baseline", "repository", "pipeline", "component", "at"),
)

models = Table(
    "models",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("repository", String(256), nullable=False),
    Column("result", String(256), nullable=False),
    Column("output", String(128), nullable=False),
    Column("digest", Text, nullable=False),
    Column("execution", _Id, nullable=False),
    Column("commit", String(64), nullable=False),
    Column("status", String(32), nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("metrics", Text, nullable=False),
    UniqueConstraint("name", "execution"),
    Index(None, "digest"),
)

model_events = Table(
    "model_events",
    metadata,
    Column("seq", _Serial, primary_key=True, autoincrement=True),
    Column("name", String(128), nullable=False),
    Column("version", Integer, nullable=False),
    Column("status", String(32), nullable=False),
    Column("by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("at", _Time, nullable=False),
    Index(None, "name", "version"),
)

facts = Table(
    "facts",
    metadata,
    Column("oid", String(64), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("version", String(32), primary_key=True),
    Column("body", Text, nullable=False),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("expires_at", _Time),
    Column("revoked_at", _Time),
    Column("last_used_at", _Time),
)

answers = Table(
    "answers",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("request", String(64), nullable=False),
    Column("begun_at", _Time, nullable=False),
    Column("status", Integer),
    Column("headers", Text, nullable=False, server_default="{}"),
    Column("body", Text, nullable=False, server_default='""'),
    Index(None, "begun_at"),
)

notices = Table("notices", metadata, Column("id", _Id, primary_key=True), *_job(), Index(None, "due_at"))

heartbeats = Table(
    "heartbeats", metadata, Column("worker", String(256), primary_key=True), Column("at", _Time, nullable=False)
)
