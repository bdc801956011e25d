"""Turn rows into the numbers that the model sees."""

import numpy as np

CUT = ["Fair", "Good", "Very Good", "Premium", "Ideal"]
COLOR = list("JIHGFED")
CLARITY = ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"]
NUMBERS = ["carat", "depth", "table", "x", "y", "z"]


def features(rows: list[dict[str, str]]) -> np.ndarray:
    """Shape (rows, 10): six numbers, three grades as ranks (worst to best), and the volume in cubic millimetres."""
    numbers = np.array([[float(row[name]) for name in NUMBERS] for row in rows])
    ranks = np.array(
        [[CUT.index(row["cut"]), COLOR.index(row["color"]), CLARITY.index(row["clarity"])] for row in rows], dtype=float
    )
    volume = numbers[:, 3:6].prod(axis=1, keepdims=True)
    return np.hstack([numbers, ranks, volume])


def prices(rows: list[dict[str, str]]) -> np.ndarray:
    """Shape (rows,): US dollars."""
    return np.array([float(row["price"]) for row in rows])
