"""Alembic migrations, applied on start; refuses anything but schema and data of the database."""
