"""Measures what Refit promises about speed, each against a reference in the same run; refuses to be part of the service."""
