"""Read and write the one table format that the steps exchange: CSV, compressed or not, with a header."""

import csv
import gzip
import io
from pathlib import Path

Rows = list[dict[str, str]]


def read_table(path: str) -> Rows:
    """Rows of a CSV file; gzip is recognised by its first bytes, so that the file's name does not matter."""
    content = Path(path).read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    return list(csv.DictReader(io.StringIO(content.decode())))


def write_table(path: str, rows: Rows) -> None:
    """The same rows always give the same bytes."""
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
