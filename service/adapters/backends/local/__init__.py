"""Runs steps on this machine, each under a supervisor of its own; refuses to depend on the service staying alive."""
