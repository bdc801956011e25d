"""Owns where a step's things lie in a job's container and what their receipts are called; refuses to touch any of them.

The service imports it too: both sides must agree.
"""

from __future__ import annotations

PROCESSING, TRAINING = "processing", "training"
REPORT, REPORT_FILE, RECEIPT = "refit", "report.json", "refit.json"
"""The output that every job has beside its own, the file in it, and the file beside each output."""
FLAT_METRICS = "refit-metrics.json"
"""Beside the metrics: the same numbers by their plain names, whatever form the step chose; conditions read it."""
BUNDLE = "bundle"

REFIT, STDERR, STDOUT = "[refit] ", "[stderr] ", "[stdout] "
"""How a line of the log begins that the step did not write to its standard output; such a line of it is marked itself."""
LONGEST_LINE = 16 * 1024


def channel(kind: str, name: str) -> str:
    """The folder in which an input arrives, below ``/opt/ml``."""
    return f"processing/input/{name}" if kind == PROCESSING else f"input/data/{name}"


def output(kind: str, name: str) -> str:
    """The folder whose content is uploaded as this output, below ``/opt/ml``. A training job has one for all of them."""
    if kind == PROCESSING:
        return f"processing/output/{name}"
    return "output/data" if name == REPORT else "model"


def entry(kind: str, name: str, metrics: str) -> str:
    """The output itself, below its folder. Metrics keep the name of their file, for property files; ``metrics`` is where
    refit.yaml says that it lies."""
    if name != "metrics" or not metrics:
        return name
    file = metrics.rstrip("/").rpartition("/")[2]
    file = "metrics.json" if file in (RECEIPT, FLAT_METRICS, "", ".", "..") else file
    return file if kind == PROCESSING else f"metrics/{file}"


def input_channel(name: str) -> str:
    """Of a declared input: its own names must not meet Refit's."""
    return f"in-{name}"
