"""Measure the model on the hold-out, in dollars."""

import argparse
import json
import pickle

import numpy as np
from features import features, prices
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from table import read_table


def measure(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    """Metric name → value; prices in US dollars."""
    return {
        "rmse": float(root_mean_squared_error(truth, guess)),
        "mae": float(mean_absolute_error(truth, guess)),
        "r2": float(r2_score(truth, guess)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--metrics", required=True)
    args = parser.parse_args()

    rows = read_table(args.data)
    with open(args.model, "rb") as file:
        model = pickle.load(file)
    metrics = measure(prices(rows), np.exp(model.predict(features(rows))))
    nested = {name: {"value": value, "standard_deviation": "NaN"} for name, value in metrics.items()}
    with open(args.metrics, "w") as file:
        json.dump({**metrics, "regression_metrics": nested}, file, indent=2)
    print(" ".join(f"{name}={value:.4f}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
