"""Owns how alembic reaches the database: on the connection that the service holds; refuses to open one of its own."""

from alembic import context

from service.adapters.database.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
context.run_migrations()
