"""Decide which diamonds are measured well enough to learn from."""

from table import Rows


def clean(rows: Rows) -> Rows:
    """Drop stones with an impossible dimension: zero, or a depth far from what its own sides give."""
    return [row for row in rows if is_plausible(row)]


def is_plausible(row: dict[str, str]) -> bool:
    """The depth percentage is z / mean(x, y); a measurement that contradicts it is a typing error."""
    x, y, z = float(row["x"]), float(row["y"]), float(row["z"])
    if min(x, y, z) <= 0:
        return False
    return abs(100 * z / ((x + y) / 2) - float(row["depth"])) < 5
