"""Threads at the edge: claims due rows and hands each to its arrow; refuses rules and vendors."""
