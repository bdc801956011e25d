"""What runs a step inside a container of any cloud, on the image's own Python (3.9 or newer) and the standard library alone."""
