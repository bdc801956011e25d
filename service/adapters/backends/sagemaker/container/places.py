"""Owns where a step's things lie in a SageMaker job's container; refuses to touch any of them.

The service imports it too: both sides must agree.
"""

from __future__ import annotations

from service.adapters.backends.steps.container.receipts import REPORT, metrics_file

PROCESSING, TRAINING = "processing", "training"
BUNDLE = "bundle"


def channel(kind: str, name: str) -> str:
    """The folder in which an input arrives, below ``/opt/ml``."""
    return f"processing/input/{name}" if kind == PROCESSING else f"input/data/{name}"


def output(kind: str, name: str) -> str:
    """The folder whose content is uploaded as this output, below ``/opt/ml``. A training job has one for all of them."""
    if kind == PROCESSING:
        return f"processing/output/{name}"
    return "output/data" if name == REPORT else "model"


def entry(kind: str, name: str, metrics: str) -> str:
    """The output itself, below its folder."""
    if name != "metrics" or not metrics:
        return name
    return metrics_file(metrics) if kind == PROCESSING else f"metrics/{metrics_file(metrics)}"


def input_channel(name: str) -> str:
    """Of a declared input: its own names must not meet Refit's."""
    return f"in-{name}"
