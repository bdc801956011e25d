"""Measure the model on the hold-out, in dollars."""

import json
import pickle
import tarfile
from pathlib import Path

import numpy as np
from features import features, prices
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score
from table import read_table

BASE = Path("/opt/ml/processing")


def main() -> None:
    with tarfile.open(BASE / "input/model/model.tar.gz") as archive:
        member = archive.extractfile("model.pkl")
        assert member is not None, "train.py writes it"
        model = pickle.load(member)
    rows = read_table(BASE / "input/test/test.csv")
    truth, guess = prices(rows), np.exp(model.predict(features(rows)))
    metrics = {
        "rmse": float(np.sqrt(mean_squared_error(truth, guess))),
        "mae": float(mean_absolute_error(truth, guess)),
        "r2": float(r2_score(truth, guess)),
    }
    report = {"regression_metrics": {name: {"value": value} for name, value in metrics.items()}}
    folder = BASE / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(report, indent=2))
    print(" ".join(f"{name}={value:.4f}" for name, value in metrics.items()))


if __name__ == "__main__":
    main()
