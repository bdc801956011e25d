"""SageMaker Pipelines on loopback: moto in front of S3 and the rest, executions that really run their steps' scripts."""
