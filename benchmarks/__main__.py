"""Owns `python -m benchmarks [name …]`: each benchmark in turn; refuses names that it does not know."""

from __future__ import annotations

import importlib
import signal
import sys

NAMES = ("memory", "receiver", "first_step", "decision", "history", "in_flight")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is ended and what was made is removed
    wanted = sys.argv[1:] or NAMES
    if unknown := [name for name in wanted if name not in NAMES]:
        sys.exit(f"no benchmark {unknown[0]}; there are {', '.join(NAMES)}")
    for name in wanted:
        importlib.import_module(f"benchmarks.{name}").run()


main()
