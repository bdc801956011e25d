"""Whom we talk to: one folder for each outside party, each behind a port; refuses rules and its siblings."""
