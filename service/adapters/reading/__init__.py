"""Reads a repository's untrusted content in a process of its own; refuses to run any of it."""

from service.adapters.reading.isolation import IsolatedReader
from service.adapters.reading.pool import ReaderPool

__all__ = ["IsolatedReader", "ReaderPool"]
