"""Reads pipelines that a repository declares with SageMaker's own SDK; refuses to change a line of them."""
