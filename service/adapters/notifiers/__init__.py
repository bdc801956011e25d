"""Whom Refit tells about executions; refuses to decide what is said."""
