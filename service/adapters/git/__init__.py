"""Reads repositories with git itself; refuses to write to anything but its own mirrors."""
