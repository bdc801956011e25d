"""Refit: re-runs the ML pipeline steps that a commit really changed, and remembers why."""
