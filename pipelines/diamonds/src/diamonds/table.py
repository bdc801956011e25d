"""Read and write the one table format that the steps exchange: CSV, compressed or not, with a header."""

import csv
import gzip
from pathlib import Path

Rows = list[dict[str, str]]


def read_table(path: str) -> Rows:
    """Rows of a CSV file; gzip is recognised by its first bytes, so that the file's name does not matter."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    opened = gzip.open(path, "rt", newline="") if packed else open(path, newline="")
    with opened as text:
        return list(csv.DictReader(text))


def write_table(path: str, rows: Rows) -> None:
    """The same rows always give the same bytes."""
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
