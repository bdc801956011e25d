"""Owns an emulator of Azure ML whose jobs really run; refuses to be imported by the service."""
