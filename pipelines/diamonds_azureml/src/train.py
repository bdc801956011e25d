"""Fit gradient-boosted trees to the logarithm of the price."""

import argparse
import pickle

import numpy as np
from features import features, prices
from sklearn.ensemble import HistGradientBoostingRegressor
from table import read_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--learning_rate", type=float, required=True)
    parser.add_argument("--max_iter", type=int, required=True)
    parser.add_argument("--max_leaf_nodes", type=int, required=True)
    args = parser.parse_args()

    rows = read_table(args.data)
    model = HistGradientBoostingRegressor(
        learning_rate=args.learning_rate,
        max_iter=args.max_iter,
        max_leaf_nodes=args.max_leaf_nodes,
        early_stopping=False,
        random_state=0,
    )
    model.fit(features(rows), np.log(prices(rows)))
    with open(args.model, "wb") as file:
        pickle.dump(model, file, protocol=5)
    print(f"trained on {len(rows)} rows")


if __name__ == "__main__":
    main()
