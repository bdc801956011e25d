"""Runs the steps of one submission as one Azure ML pipeline job; refuses any Azure package but those for tokens and blobs in the
service's process."""
