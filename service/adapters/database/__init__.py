"""Keeps everything durable, in SQLite or PostgreSQL; refuses rules: rows in, domain values out."""
