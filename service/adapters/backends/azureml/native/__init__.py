"""Reads pipelines that a repository declares in Azure ML's own terms; refuses to change a line of them."""
