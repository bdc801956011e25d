"""Runs the steps of one submission as one SageMaker pipeline; refuses any AWS package but boto3 in the service's process."""
