"""What runs inside an Azure ML job's container, on the image's own Python (3.9 or newer) and the standard library alone."""
