"""Runs inside the sandbox with the SDK's own interpreter and nothing of the service; refuses to be imported by it."""
