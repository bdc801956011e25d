"""Read the one table format that the steps exchange: CSV with a header."""

import csv
from pathlib import Path


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
