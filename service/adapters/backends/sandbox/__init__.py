"""What runs a repository's own definition of a pipeline apart from this service; refuses to know any vendor."""
