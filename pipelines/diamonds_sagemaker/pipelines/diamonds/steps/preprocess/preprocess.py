"""Clean the raw table and split it into a training set and a hold-out; a single file, which is all that its image gets."""

import argparse
import csv
import gzip
import io
import random
from pathlib import Path

BASE = Path("/opt/ml/processing")


def is_plausible(row: dict[str, str]) -> bool:
    """The depth percentage is z / mean(x, y); a measurement that contradicts it is a typing error."""
    x, y, z = float(row["x"]), float(row["y"]), float(row["z"])
    if min(x, y, z) <= 0:
        return False
    return abs(100 * z / ((x + y) / 2) - float(row["depth"])) < 5


def write_table(path: Path, rows: list[dict[str, str]]) -> None:
    """The same rows always give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--test-size", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    text = gzip.decompress((BASE / "input/raw/diamonds.csv.gz").read_bytes()).decode()
    raw = list(csv.DictReader(io.StringIO(text)))
    rows = [row for row in raw if is_plausible(row)]
    random.Random(args.seed).shuffle(rows)
    held_out = round(len(rows) * args.test_size)
    write_table(BASE / "test/test.csv", rows[:held_out])
    write_table(BASE / "train/train.csv", rows[held_out:])
    print(f"{len(raw)} rows, {len(rows)} plausible, {held_out} held out")


if __name__ == "__main__":
    main()
