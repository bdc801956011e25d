"""Owns what a job's output and log are called and marked by, which the service and the container must agree on; refuses to
touch either."""

from __future__ import annotations

REPORT, REPORT_FILE, RECEIPT = "refit", "report.json", "refit.json"
"""The output that every job has beside its own, the file in it, and the file beside each output."""
FLAT_METRICS = "refit-metrics.json"
"""Beside the metrics: the same numbers by their plain names, whatever form the step chose; conditions read it."""

REFIT, STDERR, STDOUT = "[refit] ", "[stderr] ", "[stdout] "
"""How a line of the log begins that the step did not write to its standard output; such a line of it is marked itself."""
LONGEST_LINE = 16 * 1024


def metrics_file(declared: str) -> str:
    """Metrics keep the name of their file, for who reads them in the console; ``declared`` is where refit.yaml says that
    it lies."""
    file = declared.rstrip("/").rpartition("/")[2]
    return "metrics.json" if file in (RECEIPT, FLAT_METRICS, "", ".", "..") else file


def told(line: str) -> tuple[str, str]:
    """A line of the log → the stream that it is of, and its text."""
    for mark, stream in ((REFIT, "refit"), (STDERR, "stderr"), (STDOUT, "stdout")):
        if line.startswith(mark) or line == mark.rstrip():
            return stream, line[len(mark) :]
    return "stdout", line
