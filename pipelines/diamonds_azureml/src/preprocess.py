"""Clean the raw table and split it into a training set and a hold-out that no later step trains on."""

import argparse
import random

from cleaning import clean
from table import read_table, write_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--test_size", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    args = parser.parse_args()

    raw = read_table(args.raw)
    rows = clean(raw)
    random.Random(args.seed).shuffle(rows)
    held_out = round(len(rows) * args.test_size)
    write_table(args.test, rows[:held_out])
    write_table(args.train, rows[held_out:])
    print(f"{len(raw)} rows, {len(rows)} plausible, {held_out} held out")


if __name__ == "__main__":
    main()
